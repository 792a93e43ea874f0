// Drives receiver.mjs and Ajv for test_receivers.py: reads what to do as JSON on stdin, writes what came out as JSON.

import { readFileSync } from "node:fs";
import { once } from "node:events";
import { mock } from "node:test";

import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

import { askSts, BILLING_STATUS, DATA, Receiver, server } from "./receiver.mjs";

/** The answers to the notices of one case, one after the other, over HTTP. */
async function answers({ authority, launches, steps }) {
  let step;
  const receiver = new Receiver(authority, launches, {
    ask: async () => step.sts ?? Promise.reject(new Error("nobody answers")),
    keys: async () => step.keys,
  });
  const listening = server(receiver).listen(0, "127.0.0.1");
  await once(listening, "listening");
  const found = [];
  for (step of steps) {
    mock.timers.enable({ apis: ["Date"], now: step.clock * 1000 });
    const url = `http://127.0.0.1:${listening.address().port}/notices`;
    const answer = await fetch(url, { method: "POST", headers: step.headers, body: Buffer.from(step.body, "base64") });
    found.push({ status: answer.status, type: answer.headers.get("content-type"), answer: await answer.json() });
    mock.timers.reset();
  }
  listening.close();
  return found;
}

/** Whether Ajv takes each document, with every strict mode on. */
function verdicts({ schema, documents }) {
  const ajv = addFormats(new Ajv({ strict: true, allErrors: true }));
  const validate = ajv.compile(schema);
  return documents.map((document) => validate(document));
}

const { cases = [], schema = null, urls = [] } = JSON.parse(readFileSync(0));
const result = { answers: [], shapes: { data: DATA, billingStatus: BILLING_STATUS }, sts: [] };
for (const one of cases) result.answers.push(await answers(one));
for (const url of urls) result.sts.push(await askSts(url, { host: "sts.example.com", "x-amz-date": "1" }));
if (schema) result.verdicts = verdicts(schema);
process.stdout.write(JSON.stringify(result));
