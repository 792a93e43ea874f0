// Long because it is one file to copy: a receiver of notices with each step of docs/notices.md, "Verify a notice".
//
//     npm install standardwebhooks cloudevents jose
//     node receiver.mjs --authority hawser.example.com --launches launches.json
//
// `launches.json` is a list of what you issued: {"token", "externalId", "customerId", "expiresAt", "accountId", "ways"}. Put TLS before it:
// stacks send to `https://<authority>/notices`.
//
// Its memory is this process. In a service, `Receiver`'s maps are tables, what it does between two `await` is a transaction, and old rows
// are deleted. It leaves to you, see "Who speaks for a stack": to let AWS confirm connections and candidates (the speaker before then
// counts for a day), take-overs by a new stack, and limits against strangers.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";
import { isDeepStrictEqual, parseArgs } from "node:util";

import { HTTP } from "cloudevents";
import { decodeJwt, decodeProtectedHeader, importJWK, jwtVerify } from "jose";
import { Webhook } from "standardwebhooks";

const CONTRACT = "urn:hawser:notice:1";
const MEDIA_TYPE = "application/cloudevents+json";
const NOTICE_BYTES_MAX = 64 * 1024;
const STS_BYTES_MAX = 8 * 1024;
const KEYS_BYTES_MAX = 32 * 1024;
const TOKEN_BYTES_MAX = 8 * 1024;
const HOUR = 3600;

const [UPDATED, REMOVED, STATUS] = ["hawser.connection.updated", "hawser.connection.removed", "hawser.billing.status"];
// The types that are known, in their order within one second.
const TYPES = ["hawser.connection.established", "hawser.connection.alive", STATUS, UPDATED, REMOVED];
const isScheduled = (notice) => notice.type === "hawser.connection.alive" || notice.type === STATUS;

// Of each partition the suffix of its hosts, and the form of its Regions: no dot is in it, so a host stays below AWS's suffix.
const PARTITIONS = new Map([
  ["aws", ["amazonaws.com", "(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]{1,12}-[0-9]{1,2}"]],
  ["aws-cn", ["amazonaws.com.cn", "cn-[a-z]{1,12}-[0-9]{1,2}"]],
  ["aws-us-gov", ["amazonaws.com", "us-gov-[a-z]{1,12}-[0-9]{1,2}"]],
  ["aws-eusc", ["amazonaws.eu", "eusc-de-[a-z]{1,12}-[0-9]{1,2}"]],
]);
const UTC = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z";
const STS_BODY = "Action=GetCallerIdentity&Version=2011-06-15";
const HEADERS = ["authorization", "content-type", "host", "x-amz-date", "x-hawser-audience", "x-hawser-event-sha256"];
const ISSUER = "https://[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}[.]tokens[.]sts[.]global[.]api[.]aws";
// The algorithms of AWS STS, with the type of key that each needs.
const ALGORITHMS = new Map([["ES384", ["EC", "P-384"]], ["RS256", ["RSA", undefined]]]);

// The fields of `data` that this version knows. `{ oneOf }` is an open enumeration, `{ each }` has any names, `{ orNull }` may be null.
const texts = (...names) => Object.fromEntries(names.map((name) => [name, "text"]));
const oneOf = (...words) => ({ oneOf: words });
const FIRST = texts("period", "manifest", "deliveredAt");
export const DATA = {
  ...texts("accountId", "partition", "region", "stackId", "resource", "connectionName", "roleArn", "externalId"),
  ...texts("accessKeySecretArn", "accessKeyId", "templateVersion", "handlerVersion"),
  way: oneOf("stack", "direct"),
  packs: { each: oneOf("ReadOnly", "ReadWrite") },
  regions: ["text"],
  organization: {
    fields: {
      accountRole: oneOf("management", "member", "standalone", "unknown"),
      ...texts("managementAccountId", "organizationId", "featureSet"),
    },
  },
  billingExport: {
    fields: {
      kind: oneOf("None", "CostAndUsageReport", "CostAndUsageReport2", "Focus"),
      format: oneOf("Parquet", "Csv"),
      compression: oneOf("Parquet", "GZIP", "ZIP"),
      refreshesClosedMonths: oneOf("true", "false"),
      versioning: oneOf("OverwriteReport", "CreateNewReport"),
      iamPrincipalData: oneOf("true", "false"),
      origin: oneOf("created", "reused", "none"),
      ...texts("name", "arn", "bucketName", "bucketArn", "bucketRegion", "prefix"),
      ...texts("decision", "firstDataDueBy", "backfill", "kmsKeyArn"),
    },
  },
};
export const BILLING_STATUS = {
  state: oneOf("waiting", "delivered", "stalled", "failed"),
  ...texts("checkedAt", "dueBy"),
  first: { orNull: { fields: FIRST } },
  latest: { orNull: { fields: { ...FIRST, files: "count", bytes: "count" } } },
  problem: { orNull: { fields: texts("code", "cause", "nextStep") } },
};

// Why a notice is refused: status, meaning, next step. The customer reads them in the stack event.
const REDEPLOY = "deploy again from a new launch link";
const AGAIN = "it can be sent again in a few seconds";
const UNCHANGED = "deploy the template unchanged";
const PROBLEMS = {
  "media-type": [415, `the content type is not \`${MEDIA_TYPE}\``, UNCHANGED],
  "notice-too-large": [413, "the notice is too large", "ask us"],
  "notice-malformed": [400, "the notice does not have the documented form", "deploy the newest version of the template"],
  "contract-version": [422, `we take notices of \`${CONTRACT}\` only`, "ask us which version of the template we support"],
  "notice-inconsistent": [422, "the notice contradicts itself", UNCHANGED],
  "signature-unknown": [401, "the signature is not of a launch of ours, or not of now", REDEPLOY],
  "launch-expired": [403, "the launch link has expired", REDEPLOY],
  "launch-replaced": [403, "the launch link was replaced by a newer one", "update the stack with the newer one's parameters"],
  "launch-used": [403, "the launch link was used by another stack", REDEPLOY],
  "launch-of-other-account": [403, "the launch link was made for another account", REDEPLOY],
  "launch-of-other-customer": [403, "the launch link was made for another customer", REDEPLOY],
  "way": [403, "the launch link is not for connections that are made this way", REDEPLOY],
  "external-id": [403, "the external ID is not the launch link's", "leave the parameter `ExternalId` as the link sets it"],
  "notice-id-reused": [409, "another notice had this id", "deploy again"],
  "proof-refused": [403, "the proof of identity is not one that we take", UNCHANGED],
  "token-refused": [403, "the token is not one that AWS STS made for this notice", UNCHANGED],
  "issuer-unavailable": [503, "the keys of the account's token issuer could not be fetched", AGAIN],
  "sts-refused": [403, "AWS STS did not accept the proof of identity", "deploy again"],
  "sts-unavailable": [503, "AWS STS could not be asked", AGAIN],
  "sts-answer": [502, "the answer of AWS STS is not usable", AGAIN],
  "identity-mismatch": [403, "AWS says that another principal sent the notice", UNCHANGED],
  "speaker": [403, "the notice was not sent by the stack's own handler", UNCHANGED],
  "connection-removed": [410, "the connection was removed", "deploy a new stack from a new launch link"],
  "connection-unknown": [404, "there is no such connection", "leave it, there is nothing to remove"],
  "status-of-unknown": [404, "there is no such connection", "update the stack, or deploy it again"],
  "status-of-removed": [410, "the connection was removed", "delete the stack, or deploy it again"],
};

/** Says what is wrong, and never repeats what the notice has there: it could be a signature. */
class Refused extends Error {
  constructor(code, found = "") {
    const [status, meaning, nextStep] = PROBLEMS[code];
    super(`${meaning}${found && ": "}${found}; ${nextStep}`);
    Object.assign(this, { code, status });
  }
}

function require(holds, code, found) {
  if (!holds) throw new Refused(code, found);
}

/** Of the whole text: a pattern without `^` and `$`. */
const matches = (pattern, text) => new RegExp(`^(?:${pattern})$`).exec(text);
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

// Step 3, first half: one document for all readers.

/** JSON.parse checks the grammar; the marks of the text then show what it would take silently. */
export function read(body) {
  let text, event;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    event = JSON.parse(text);
  } catch {
    throw new Refused("notice-malformed");
  }
  // Around each mark: of an object the names so far, of a list nothing.
  const around = [];
  for (const [mark, string, colon] of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\]]|-?[0-9][0-9.eE+-]*/g)) {
    if (colon) {
      const name = JSON.parse(string);
      require(/^[\0-\x7f]*$/.test(name) && !around.at(-1).has(name), "notice-malformed", "names");
      around.at(-1).add(name);
    } else if (string) {
      require(JSON.parse(string).isWellFormed(), "notice-malformed", "half of a surrogate pair");
    } else if (mark === "{" || mark === "[") {
      around.push(mark === "{" ? new Set() : null);
      require(around.length <= 16, "notice-malformed", "depth");
    } else if (mark === "}" || mark === "]") {
      around.pop();
    } else {
      require(/^(0|-?[1-9][0-9]*)$/.test(mark) && Number.isSafeInteger(Number(mark)), "notice-malformed", "a number");
    }
  }
  require(isObject(event), "notice-malformed");
  require(event.dataschema === CONTRACT, "contract-version");
  return event;
}

/** The form of RFC 8785, for what `read` lets through. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (!isObject(value)) return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join()}}`;
}

const without = (fields, left) => Object.fromEntries(Object.entries(fields).filter(([name]) => name !== left));

/** What this version knows of a value. Unknown fields are dropped; what is missing, and an unknown word, is empty. */
function known(value, shape) {
  if (shape.orNull) return value === null || value === undefined ? null : known(value, shape.orNull);
  if (shape.each || shape.fields) {
    const fields = value === undefined ? {} : value;
    require(isObject(fields), "notice-malformed", "an object");
    const of = (name) => known(Object.hasOwn(fields, name) ? fields[name] : undefined, shape.each ?? shape.fields[name]);
    return Object.fromEntries(Object.keys(shape.each ? fields : shape.fields).map((name) => [name, of(name)]));
  }
  if (Array.isArray(shape)) {
    const items = value === undefined ? [] : value;
    require(Array.isArray(items), "notice-malformed", "a list");
    return items.map((item) => known(item, shape[0]));
  }
  if (shape === "count") {
    const count = value === undefined ? 0 : value;
    require(Number.isSafeInteger(count) && count >= 0, "notice-malformed", "a number");
    return count;
  }
  const text = value === undefined ? "" : value;
  require(typeof text === "string", "notice-malformed", "a text");
  return shape === "text" || shape.oneOf.includes(text) ? text : "";
}

// Step 3, second half.

function checkFormat(event, body, webhookId, now) {
  try {
    HTTP.toEvent({ headers: { "content-type": MEDIA_TYPE }, body: body.toString() }).validate();
  } catch {
    throw new Refused("notice-malformed", "not a CloudEvent");
  }
  const fields = texts("specversion", "id", "source", "subject", "type", "time", "datacontenttype");
  const { specversion, id, source, subject, type, time, datacontenttype } = known(event, { fields });
  const data = known(event.data, { fields: DATA });
  require(specversion === "1.0" && datacontenttype === "application/json", "notice-malformed");
  require(matches(UTC, time) && !Number.isNaN(Date.parse(time)), "notice-malformed", "`time`");
  require(id === webhookId && matches("[0-9a-f]{32}", id), "notice-inconsistent", "`id`");
  // One from the future would keep all honest ones after it from counting.
  require(Date.parse(time) / 1000 <= now + 300, "notice-inconsistent", "`time` is in the future");
  const { partition, region, accountId: account, stackId, roleArn } = data;
  require(PARTITIONS.has(partition), "notice-malformed", "`partition`");
  require(matches(PARTITIONS.get(partition)[1], region), "notice-inconsistent", "`region`");
  require(matches("[0-9]{12}", account), "notice-inconsistent", "`accountId`");
  const form = `arn:${partition}:cloudformation:${region}:${account}:stack/([A-Za-z0-9-]+)/[A-Za-z0-9-]+`;
  const stack = matches(form, stackId);
  require(stack && stackId.length <= 256, "notice-inconsistent", "`stackId`");
  require(source === stackId && subject === account, "notice-inconsistent", "`source` or `subject`");
  const resourceBytes = Buffer.byteLength(data.resource);
  require(resourceBytes >= 1 && resourceBytes <= 1024, "notice-inconsistent", "`resource`");
  const isRole = matches(`arn:${partition}:iam::${account}:role/([!-~]+/)?[A-Za-z0-9_+=,.@-]+`, roleArn);
  require(isRole || (roleArn === "" && type === REMOVED), "notice-inconsistent", "`roleArn`");
  require(Object.hasOwn(event.data, "externalId"), "notice-malformed", "`externalId`");
  let status = null;
  if (type === STATUS) {
    status = known(event.data.billingStatus, { fields: BILLING_STATUS });
    const at = Date.parse(status.checkedAt);
    require(matches(UTC, status.checkedAt) && !Number.isNaN(at), "notice-malformed", "`checkedAt`");
    require(at / 1000 <= now + 300, "notice-inconsistent", "`checkedAt` is in the future");
  }
  const notice = { id, type, stackId, stack: stack[1], partition, region, account, data, status };
  const same = isScheduled(notice) ? without(data, "organization") : data;
  return {
    ...notice,
    // Its place among the notices of its stack: within one second, the type decides.
    position: Date.parse(time) * 10 + TYPES.indexOf(type),
    // What each proof covers, and what makes two notices the same.
    digest: sha256(canonical({ ...event, data: without(event.data, "proofs") })),
    fingerprint: sha256(canonical([type, stackId, account, same])),
  };
}

// Step 4: the proofs, as far as they can be checked without asking anybody.

/** The signed request and the token; kinds that are not known are skipped. */
function proofsOf(data) {
  const { proofs } = data;
  const isProof = (proof) => isObject(proof) && typeof proof.kind === "string";
  require(Array.isArray(proofs) && proofs.every(isProof), "notice-malformed", "`proofs`");
  const kinds = proofs.map((proof) => proof.kind);
  const named = Object.hasOwn(data, "proofKinds") ? data.proofKinds : kinds;
  require(isDeepStrictEqual(named, kinds), "notice-inconsistent", "`proofKinds`");
  const [requests, tokens] = ["request", "token"].map((kind) => proofs.filter((proof) => proof.kind === kind));
  require(requests.length <= 1 && tokens.length <= 1, "notice-malformed", "`proofs`");
  require(requests.length + tokens.length > 0, "proof-refused", "there is none of a kind that we know");
  require(tokens.every(({ token }) => typeof token === "string"), "notice-malformed", "`proofs`");
  return { proof: requests[0], token: tokens[0]?.token };
}

/** The one URL that the request may have, and its headers. They are a stranger's, so they must be exactly the expected ones. */
function checkRequest({ method, url, headers, body }, notice, authority, now) {
  const host = `sts.${notice.region}.${PARTITIONS.get(notice.partition)[0]}`;
  require(method === "POST" && body === STS_BODY && url === `https://${host}/`, "proof-refused", "request");
  require(isObject(headers), "proof-refused", "headers");
  const names = Object.keys(headers).sort();
  require(isDeepStrictEqual(names.filter((name) => name !== "x-amz-security-token"), HEADERS), "proof-refused", "headers");
  const isLegal = (value) => typeof value === "string" && matches("[ -~]{1,8192}", value);
  require(Object.values(headers).every(isLegal), "proof-refused", "headers");
  require(headers["content-type"] === "application/x-www-form-urlencoded", "proof-refused", "headers");
  require(headers.host === host, "proof-refused", "headers");
  require(headers["x-hawser-audience"] === authority, "proof-refused", "it was made for another vendor");
  require(headers["x-hawser-event-sha256"] === notice.digest, "proof-refused", "it covers another event");
  const date = headers["x-amz-date"];
  const parts = matches("([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z", date);
  require(parts, "proof-refused", "date");
  const [, year, month, day, hours, minutes, seconds] = parts;
  const age = now - Date.parse(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}Z`) / 1000;
  require(age >= -300 && age <= 900, "proof-refused", "it is older than 15 minutes, or from the future");
  const signed = names.filter((name) => name !== "authorization").join(";");
  const scope = `${date.slice(0, 8)}/${notice.region}/sts/aws4_request`;
  const form = `AWS4-HMAC-SHA256 Credential=[A-Za-z0-9]+/${scope}, SignedHeaders=${signed}, Signature=[0-9a-f]{64}`;
  require(matches(form, headers.authorization), "proof-refused", "authorization");
  return { url, headers };
}

// Steps 6 and 7: AWS's word.

/** Status and body of an answer; a redirect is one, too. */
async function fetchLimited(url, options, bytesMax) {
  const answer = await fetch(url, { ...options, redirect: "manual", signal: AbortSignal.timeout(4000) });
  const chunks = [];
  let bytes = 0;
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length;
    if (bytes > bytesMax) return { status: 502, text: "" };
    chunks.push(chunk);
  }
  return { status: answer.status, text: Buffer.concat(chunks).toString() };
}

/** Sends the request: `url` is what `checkRequest` made. An exception says that nobody answered. */
export function askSts(url, headers) {
  return fetchLimited(url, { method: "POST", headers: without(headers, "host"), body: STS_BODY }, STS_BYTES_MAX);
}

/** The key set of a token issuer, or null if it cannot be had. */
export async function fetchKeys(issuer) {
  try {
    const { status, text } = await fetchLimited(`${issuer}/.well-known/jwks.json`, {}, KEYS_BYTES_MAX);
    return status === 200 ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

// One identity and nothing beside it; `_` is white space. Not a parser of XML: what does not look as AWS STS writes it is refused.
const IDENTITY = [
  '(<[?]xml [^<>]*[?]>)?_<GetCallerIdentityResponse xmlns="https://sts[.]amazonaws[.]com/doc/2011-06-15/">_<GetCallerIdentityResult>',
  "(?<leaves>(_<(Arn|UserId|Account)>[^<>&]+</\\4>){3})_</GetCallerIdentityResult>",
  "(_<ResponseMetadata>_<RequestId>[^<>&]*</RequestId>_</ResponseMetadata>)?_</GetCallerIdentityResponse>_",
].join("").replaceAll("_", "\\s*");

/** Who signed the request, as AWS STS says. */
function speakerOf({ status, text }, { account, partition }) {
  if (status !== 200) {
    const isBusy = status === 429 || status >= 500 || /<Code>(Throttling|ThrottlingException|RequestLimitExceeded)<\/Code>/.test(text);
    throw new Refused(isBusy ? "sts-unavailable" : status >= 400 ? "sts-refused" : "sts-answer");
  }
  const leaves = matches(IDENTITY, text)?.groups.leaves ?? "";
  const identity = Object.fromEntries([...leaves.matchAll(/<(\w+)>([^<]+)</g)].map(([, name, value]) => [name, value]));
  require(Object.keys(identity).length === 3, "sts-answer");
  require(identity.Account === account, "identity-mismatch", "another account");
  const [id, name] = identity.UserId.split(":");
  const session = matches(`arn:${partition}:sts::${account}:assumed-role/([^/]+)/([^/]+)`, identity.Arn);
  if (session && id.startsWith("AROA") && name === session[2]) return { id, role: session[1], bearer: null };
  const isUser = matches(`arn:${partition}:iam::${account}:user(/[^/]+)+`, identity.Arn);
  require(isUser && id.startsWith("AIDA") && !name, "identity-mismatch", "neither a role's session nor a user");
  return { id, role: "", bearer: null };
}

export function isHandlerRole(name, stack) {
  const kept = stack.length > 38 ? [34, 35, 36, 37, 38, 39, 40] : [stack.length];
  return kept.some((chars) => matches(`${stack.slice(0, chars)}-HandlerRole-[A-Za-z0-9]{10,16}`, name));
}

/** The key sets of token issuers. One that was fetched is kept until a newer one can be had. */
class Issuers {
  #sets = new Map();

  constructor(fetchKeys) {
    this.fetchKeys = fetchKeys;
  }

  async keys(issuer, keyId, now) {
    const set = this.#sets.get(issuer) ?? { keys: null, fetchedAt: -Infinity, triedAt: -Infinity };
    this.#sets.set(issuer, set);
    const isFresh = set.keys?.some((key) => key.kid === keyId) && now - set.fetchedAt < 6 * HOUR;
    if (!isFresh && now - set.triedAt >= 10) {
      set.triedAt = now;
      const keys = (await this.fetchKeys(issuer))?.keys;
      if (Array.isArray(keys) && keys.length >= 1 && keys.length <= 16 && keys.every(isObject)) {
        Object.assign(set, { keys, fetchedAt: now });
      }
    }
    // A set that lacks the key says something of the token only where it is the newest.
    const hasIt = set.keys?.some((key) => key.kid === keyId);
    return hasIt || set.fetchedAt === set.triedAt ? set.keys : null;
  }
}

/** The token's id, and whom it vouches for; null if the issuer's keys cannot be had. */
async function checkToken(token, notice, authority, issuers, now) {
  let claims, issuer;
  try {
    require(token.length <= TOKEN_BYTES_MAX, "token-refused", "too large");
    const { alg, kid } = decodeProtectedHeader(token);
    issuer = decodeJwt(token).iss;
    require(ALGORITHMS.has(alg) && typeof kid === "string", "token-refused", "algorithm or key");
    require(typeof issuer === "string" && matches(ISSUER, issuer), "token-refused", "issuer");
    const keys = await issuers.keys(issuer, kid, now);
    if (keys === null) return null;
    const [kty, crv] = ALGORITHMS.get(alg);
    const key = keys.find((one) => one.kid === kid && (one.use ?? "sig") === "sig" && one.kty === kty && one.crv === crv);
    require(key, "token-refused", "its key is not its issuer's");
    const rules = { algorithms: [alg], issuer, audience: authority, clockTolerance: 60, maxTokenAge: 300 };
    claims = (await jwtVerify(token, await importJWK(key, alg), { ...rules, requiredClaims: ["sub", "exp", "jti"] })).payload;
  } catch (error) {
    throw error instanceof Refused ? error : new Refused("token-refused");
  }
  const isAudience = [authority, [authority]].some((one) => isDeepStrictEqual(one, claims.aud));
  require(isAudience, "token-refused", "audience");
  const { jti, sub } = claims;
  require(typeof jti === "string" && jti.length >= 1 && jti.length <= 256, "token-refused", "id");
  const aws = claims["https://sts.amazonaws.com/"];
  require(isObject(aws) && aws.aws_account === notice.account, "token-refused", "another account's");
  const role = `arn:${notice.partition}:iam::${notice.account}:role/([!-~]+/)?[A-Za-z0-9_+=,.@-]+`;
  require(typeof sub === "string" && matches(role, sub), "token-refused", "its subject is not a role of the account");
  const { subject_mode: mode = "AWSIdentity", principal_id: principal = sub, request_tags: tags } = aws;
  require(mode === "AWSIdentity", "token-refused", "its subject is of the sender's choice");
  require(principal === sub, "token-refused", "its subject is not who asked for it");
  require(isObject(tags) && tags["hawser-event-sha256"] === notice.digest, "token-refused", "it covers another event");
  let name = "";
  if (aws.lambda_source_function_arn !== undefined) {
    const form = `arn:${notice.partition}:lambda:${notice.region}:${notice.account}:function:([A-Za-z0-9_-]+)(:[!-~]+)?`;
    name = matches(form, String(aws.lambda_source_function_arn))?.[1];
    require(name, "token-refused", "another account's or Region's function");
  }
  return { tokenId: jti, bearer: { issuer, role: sub, name } };
}

/** By the unique id; between one that is known by id and one by token, what a token said of both: issuer, role and function. */
function isSameSpeaker(one, other) {
  if (one.id && other.id) return one.id === other.id;
  return one.bearer !== null && isDeepStrictEqual(one.bearer, other.bearer);
}

/** All steps, and what is remembered between notices. */
export class Receiver {
  /** By stack id. */
  connections = new Map();
  // Notice id to fingerprint and answer; token id to notice id; issuer to account; stack and resource to a removal that came first.
  #accepted = new Map();
  #tokens = new Map();
  #issuerAccounts = new Map();
  #removals = new Map();

  constructor(authority, launches, { ask = askSts, keys = fetchKeys } = {}) {
    this.authority = authority;
    // A launch belongs to the stack that it connected, until a day after a newer one did.
    this.launches = launches.map((launch) => ({ accountId: "", ways: ["stack"], ...launch, stackId: "", until: Infinity }));
    this.ask = ask;
    this.issuers = new Issuers(keys);
  }

  /** One notice in; status, content type and JSON out. Only who read the notice can repeat its id, which the stack checks. */
  async answer(headers, body) {
    try {
      return { status: 200, type: "application/json", answer: await this.#take(headers, body) };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const { code, status, message: detail } = error;
      const problem = { type: `urn:hawser:problem:${code}`, title: "The notice is refused", status, detail };
      return { status, type: "application/problem+json", answer: problem };
    }
  }

  async #take(headers, body) {
    const now = Date.now() / 1000;
    require(body.length <= NOTICE_BYTES_MAX, "notice-too-large");
    require((headers["content-type"] ?? "").split(";")[0].trim().toLowerCase() === MEDIA_TYPE, "media-type");
    const event = read(body);
    const launch = this.#verifySignature(headers, body, event);
    const notice = checkFormat(event, body, headers["webhook-id"], now);
    const { proof, token } = proofsOf(event.data);
    const request = proof && checkRequest(proof, notice, this.authority, now);
    const prior = this.#admit(launch, notice, now);
    if (prior) return prior;
    const { speaker, tokenId } = await this.#prove(notice, request, token, now);
    if (!TYPES.includes(notice.type)) return acknowledgment(notice, "ignored: we do not know notices of this type yet", "");
    // It may have come twice at once.
    const meanwhile = this.#admit(launch, notice, now);
    if (meanwhile) return meanwhile;
    if (tokenId) this.#admitToken(tokenId, notice, speaker);
    const answer = acknowledgment(notice, this.#store(launch, notice, speaker, now));
    this.#accepted.set(notice.id, { fingerprint: notice.fingerprint, answer });
    if (tokenId) {
      this.#tokens.set(tokenId, notice.id);
      if (speaker.id) this.#issuerAccounts.set(speaker.bearer.issuer, notice.account);
    }
    return answer;
  }

  /** Step 2: the launch whose token signed the body. The names in it are only keys to look up here. */
  #verifySignature(headers, body, event) {
    const { externalId, stackId } = isObject(event.data) ? event.data : {};
    const candidates = this.launches.filter((one) => one.externalId === externalId || (one.stackId && one.stackId === stackId));
    const launch = candidates.find((one) => {
      try {
        new Webhook(one.token).verify(body, headers, { jsonParse: false });
        return true;
      } catch {
        return false;
      }
    });
    require(launch, "signature-unknown");
    return launch;
  }

  /** Step 5: the earlier answer to the same notice, or whether this launch may say this. */
  #admit(launch, notice, now) {
    const prior = this.#accepted.get(notice.id);
    if (prior) {
      require(prior.fingerprint === notice.fingerprint, "notice-id-reused");
      return prior.answer;
    }
    const connection = this.connections.get(notice.stackId);
    const [removal, scheduled] = [notice.type === REMOVED, isScheduled(notice)];
    if (removal && !connection) {
      require(launch.ways.includes(wayOf(notice)), "way");
      return null;
    }
    const { externalId } = notice.data;
    require(externalId === launch.externalId || (removal && externalId === ""), "external-id");
    require(!connection || connection.customerId === launch.customerId, "launch-of-other-customer");
    const isBound = launch.stackId === notice.stackId && now < launch.until;
    require(connection || isBound || !scheduled, "status-of-unknown");
    require(isBound || !(removal || scheduled), "launch-used");
    if (connection && connection.removedAt !== null && !removal) {
      require(!scheduled, "status-of-removed");
      require(now < connection.removedAt + 15 * 60, "connection-removed");
    }
    const way = wayOf(notice, connection);
    require(launch.ways.includes(way) && (!connection || connection.way === way), "way");
    require(["", notice.account].includes(launch.accountId), "launch-of-other-account");
    if (!isBound) {
      require(launch.stackId !== notice.stackId, "launch-replaced");
      require(launch.stackId === "", "launch-used");
      require(now < launch.expiresAt, "launch-expired");
    }
    return null;
  }

  /** Every proof that is there must hold, and all name one role. */
  async #prove(notice, request, token, now) {
    let speaker = null;
    if (request) {
      const answer = await this.ask(request.url, request.headers).catch(() => null);
      require(answer, "sts-unavailable");
      speaker = speakerOf(answer, notice);
    }
    const attested = token === undefined ? null : await checkToken(token, notice, this.authority, this.issuers, now);
    if (!attested) {
      require(speaker, "issuer-unavailable");
      return { speaker };
    }
    const { tokenId, bearer } = attested;
    const role = bearer.role.split("/").at(-1);
    require(!speaker || speaker.role === role, "token-refused", "it names another role than the request");
    return { speaker: { id: speaker?.id ?? "", role, bearer }, tokenId };
  }

  /** Step 8: who speaks for the stack, then what the notice changes. Returns a sentence for the stack event. */
  #store(launch, notice, speaker, now) {
    const connection = this.connections.get(notice.stackId);
    const { position, data, status } = notice;
    if (!connection) {
      const way = wayOf(notice);
      require(way === "direct" || isHandlerRole(speaker.role, notice.stack), "speaker");
      const place = `${launch.token} ${notice.stackId} ${data.resource}`;
      const latest = Math.max(position, this.#removals.get(place) ?? position);
      if (notice.type === REMOVED) {
        // Its creation may still come; in a table, at most 16 of a launch for 24 hours.
        this.#removals.set(place, latest);
        throw new Refused("connection-unknown");
      }
      this.#bind(launch, notice.stackId, now);
      this.#removals.delete(place);
      const removedAt = latest === position ? null : now;
      const { customerId } = launch;
      // `described` is the newest notice that described it, `latest` the newest of all that came from CloudFormation.
      this.connections.set(notice.stackId, { customerId, way, speaker, data, described: position, latest, removedAt, status });
      return removedAt ? "stored, but this stack has already been removed" : "connected";
    }
    const { speaker: before } = connection;
    if (!isSameSpeaker(before, speaker)) {
      const mayAsk = connection.way === "stack" && notice.type === UPDATED && launch.until === Infinity;
      require(mayAsk && (speaker.bearer || !before.bearer) && isHandlerRole(speaker.role, notice.stack), "speaker");
      // Another role that says it is the stack's handler, and its notice.
      connection.candidate = { speaker, notice };
      return "stored; it counts once AWS confirms that the role which sent it is this stack's";
    }
    if (notice.type === REMOVED) {
      if (connection.data.resource !== data.resource) return "ignored: another resource of this stack describes the connection";
      if (position < connection.latest) return "stored, but a newer notice of this stack takes precedence";
      Object.assign(connection, { latest: position, removedAt: connection.removedAt ?? now });
      return "disconnected";
    }
    if (status && Date.parse(status.checkedAt) >= Date.parse(connection.status?.checkedAt ?? 0)) connection.status = status;
    if (position < connection.described) return "stored, but a newer notice of this stack takes precedence";
    // What it was known by before, it is known by from now on as well.
    connection.speaker = { ...speaker, id: speaker.id || before.id, bearer: speaker.bearer ?? before.bearer };
    Object.assign(connection, { data, described: position });
    if (isScheduled(notice)) return "stored";
    this.#bind(launch, notice.stackId, now);
    connection.latest = Math.max(position, connection.latest);
    if (connection.latest !== position) return "stored, but this stack has already been removed";
    connection.removedAt = null;
    return "connected";
  }

  /** A token is good once, and an issuer is one account's: of the first that it came with, beside a request that AWS vouched for. */
  #admitToken(tokenId, notice, speaker) {
    require((this.#tokens.get(tokenId) ?? notice.id) === notice.id, "token-refused", "it was used before");
    const owner = this.#issuerAccounts.get(speaker.bearer.issuer) ?? notice.account;
    require(owner === notice.account, "token-refused", "its issuer is another account's");
  }

  /** The launch is this stack's; one that was before stays valid for a day, because the update may be rolled back. */
  #bind(launch, stackId, now) {
    for (const other of this.launches) {
      if (other !== launch && other.stackId === stackId) other.until = Math.min(other.until, now + 24 * HOUR);
    }
    Object.assign(launch, { stackId, until: Infinity });
  }
}

/** What is not `direct` has the stricter rules. */
function wayOf(notice, connection) {
  return notice.data.way || connection?.way || "stack";
}

function acknowledgment(notice, message, connectionId = `con-${sha256(notice.stackId).slice(0, 20)}`) {
  return { noticeId: notice.id, connectionId, message };
}

/** A small server, for behind one that ends TLS. */
export function server(receiver) {
  const take = async (request, response) => {
    const chunks = [];
    let bytes = 0;
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      bytes += chunk.length;
      chunks.push(chunk);
      // One byte over the limit is enough to know.
      if (bytes > NOTICE_BYTES_MAX) break;
    }
    const { status, type, answer } = await receiver.answer(request.headers, Buffer.concat(chunks));
    response.writeHead(status, { "content-type": type, ...(status === 503 && { "retry-after": "2" }), connection: "close" });
    response.end(JSON.stringify(answer));
  };
  return createServer({ requestTimeout: 10_000 }, (request, response) => {
    if (request.method === "POST" && request.url === "/notices") {
      take(request, response).catch(() => response.destroy());
    } else {
      response.writeHead(404).end();
    }
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const text = { type: "string" };
  const { authority, launches, port } = parseArgs({ options: { authority: text, launches: text, port: text } }).values;
  server(new Receiver(authority, JSON.parse(readFileSync(launches)))).listen(Number(port ?? 8080), "127.0.0.1");
}
