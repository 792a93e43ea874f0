//! `make package`: everything that a vendor publishes, in one folder. The same sources give the same bytes.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use hawser::names::Region;
use hawser_cli::{
    published::{CHECKSUMS, SIGNATURE_SUFFIX},
    setup::link::link,
    template::{INLINE_BYTES_MAX, MEMBER_REGION, MEMBER_TEMPLATE_URL, Template},
};
use minisign::{SecretKey, SecretKeyBox};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    File, MANIFEST, Manifest, check_buckets, check_defaults,
    text::{Values, published},
};

/// The template of one account.
pub const TEMPLATE: &str = "template.yaml";
/// The template of an organization.
pub const ORGANIZATION: &str = "organization.json";
/// The template of one account as it is sent in a request.
pub const INLINE: &str = "template-inline.json";
/// What the binary is made of.
pub const SBOM: &str = "sbom.cdx.json";
/// For people.
pub const LINKS: &str = "launch-links.txt";

/// CloudFormation's quota for a template that is read from S3 ("Template body size in an Amazon S3 object").
const TEMPLATE_BYTES_MAX: usize = 1_000_000;

/// The name of the stack in launch links.
const STACK_NAME: &str = "hawser";

/// What the publisher decides.
#[derive(Clone, Debug)]
pub struct PackageRequest {
    /// A bucket's name is this, a hyphen and its Region.
    pub bucket_prefix: String,
    /// Where it is published. The first one serves the members of organizations with their template.
    pub regions: Vec<Region>,
    /// What the functions run on: `x86_64` or `arm64`.
    pub architecture: String,
    /// Defaults of the template's parameters.
    pub defaults: BTreeMap<String, String>,
    /// What signs the checksums and the bill of materials, for `hawser template --verify`.
    pub signing_key: Option<SigningKey>,
    /// Whether the templates have no `AccessMethod: AccessKey` (see [`Template::without_access_key`]).
    pub without_access_key: bool,
}

/// A secret key of minisign's. It is never printed.
#[derive(Clone)]
pub struct SigningKey(SecretKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads minisign's file, with its password if it has one.
    ///
    /// # Errors
    /// When it is no such file, or the password is another.
    pub fn read(text: &str, password: Option<String>) -> anyhow::Result<Self> {
        let key = SecretKeyBox::from_string(text).context("not a secret key of minisign")?;
        let key = match password {
            Some(password) => key.into_secret_key(Some(password)),
            None => key.into_unencrypted_secret_key(),
        };
        Ok(Self(key.context("the key cannot be used (hint: --signing-password-file)")?))
    }

    /// The signature of a file, as minisign writes it. The same content gives the same bytes: the comment names no time.
    fn sign(&self, name: &str, content: &[u8]) -> anyhow::Result<String> {
        let comment = format!("file:{name}\tversion:{}", env!("CARGO_PKG_VERSION"));
        let signature =
            minisign::sign(None, &self.0, content, Some(&comment), Some("signature of what a vendor of Hawser published"))?;
        Ok(signature.into_string())
    }
}

/// What was made before.
#[derive(Clone, Debug)]
pub struct Built {
    /// The zips of the handler by architecture, as far as they could be built.
    pub zips: BTreeMap<String, PathBuf>,
    /// See [`super::sbom`].
    pub sbom: String,
}

/// Writes `dist` anew.
///
/// # Errors
/// What does not go together, with what would; and the file system's.
pub fn package(
    source: &str,
    request: &PackageRequest,
    built: &Built,
    dist: &Path,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Manifest> {
    check_buckets(&request.bucket_prefix, &request.regions)?;
    check_defaults(&request.defaults)?;
    let has_access_key = request.defaults.get("AccessMethod").is_some_and(|method| method == "AccessKey");
    ensure!(!(request.without_access_key && has_access_key), "`AccessMethod` is AccessKey, which is left out of the templates");
    let Some(zip) = built.zips.get(&request.architecture) else {
        let have: Vec<&str> = built.zips.keys().map(String::as_str).collect();
        bail!("there is no zip for `{}`, only for {} (hint: `make build` says why)", request.architecture, have.join(", "));
    };
    let mut making = DistWriter { folder: fresh(dist)?, files: Vec::new(), sums: BTreeMap::new(), say };
    for (architecture, path) in &built.zips {
        let content = std::fs::read(path).with_context(|| format!("could not read `{}`", path.display()))?;
        making.add_hashed(&format!("hawser-{architecture}"), "zip", "application/zip", &content)?;
    }
    making.add(SBOM, "application/vnd.cyclonedx+json", built.sbom.as_bytes())?;

    let code = Sha256::digest(std::fs::read(zip)?);
    let code_key = making
        .files
        .iter()
        .find(|file| file.sha256 == hex::encode(code))
        .map(|file| file.key.clone())
        .context("the zip changed while it was packaged")?;
    let regions: Vec<&str> = request.regions.iter().map(Region::as_str).collect();
    let text = published(
        source,
        &Values {
            bucket_prefix: &request.bucket_prefix,
            regions: regions.clone(),
            code_key: &code_key,
            architecture: &request.architecture,
            defaults: &request.defaults,
        },
    )?;
    let template = Template::read(&hawser_stack::to_json(&text)?)?;
    // Narrowed as data, which has no comments; JSON is YAML.
    let (template, text) = match request.without_access_key {
        true => {
            let template = template.without_access_key();
            let text = serde_json::to_string_pretty(template.json())? + "\n";
            (template, text)
        }
        false => (template, text),
    };
    making.add(TEMPLATE, "application/yaml", text.as_bytes())?;

    let mut manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bucket_prefix: request.bucket_prefix.clone(),
        regions: regions.iter().map(|region| (*region).to_owned()).collect(),
        files: Vec::new(),
    };
    let first = regions.first().context("no Region")?;
    let member_url = manifest.url(making.files.last().context("no template")?, first);
    let organization = for_organization(&template, &member_url, &regions)?;
    making.add(ORGANIZATION, "application/json", organization.as_bytes())?;
    // Sent by people themselves, so it is not uploaded; of packs, it has those that the publisher has switched on.
    let inline = template.without_disabled_packs(&request.defaults).inline();
    if inline.len() > INLINE_BYTES_MAX {
        (making.say)(&format!("{INLINE} is left out: it has {} bytes of at most {INLINE_BYTES_MAX}", inline.len()));
    } else {
        making.write(INLINE, inline.as_bytes())?;
    }
    for (name, bytes) in [(TEMPLATE, text.len()), (ORGANIZATION, organization.len())] {
        ensure!(bytes <= TEMPLATE_BYTES_MAX, "{name} has {bytes} bytes, and CloudFormation reads {TEMPLATE_BYTES_MAX} at most");
    }
    manifest.files = std::mem::take(&mut making.files);
    let links = launch_links(&template, &Template::read(&hawser_stack::to_json(&organization)?)?, &manifest, &request.regions)?;
    making.write(LINKS, links.as_bytes())?;
    making.write(MANIFEST, (serde_json::to_string_pretty(&manifest)? + "\n").as_bytes())?;
    let mut sums = String::new();
    for (name, sum) in &making.sums {
        writeln!(sums, "{sum}  {name}")?;
    }
    making.write(CHECKSUMS, sums.as_bytes())?;
    if let Some(key) = &request.signing_key {
        for (name, content) in [(CHECKSUMS, &sums), (SBOM, &built.sbom)] {
            making.write(&format!("{name}{SIGNATURE_SUFFIX}"), key.sign(name, content.as_bytes())?.as_bytes())?;
        }
    }
    put_in_place(&making.folder, dist)?;
    Ok(manifest)
}

/// The organization's template, knowing where the members' template is and in which Regions there is code for it.
fn for_organization(template: &Template, member_url: &str, regions: &[&str]) -> anyhow::Result<String> {
    let mut whole = template.for_organization()?.json().clone();
    whole["Parameters"][MEMBER_TEMPLATE_URL]["Default"] = json!(member_url);
    let or_none: Vec<&str> = [""].iter().chain(regions).copied().collect();
    whole["Parameters"][MEMBER_REGION]["AllowedValues"] = json!(or_none);
    Ok(serde_json::to_string_pretty(&whole)? + "\n")
}

fn launch_links(one: &Template, all: &Template, manifest: &Manifest, regions: &[Region]) -> anyhow::Result<String> {
    let mut text = String::from(
        "Launch links of what `make publish` uploads. A link for a customer also fills in LaunchToken and ExternalId, which the vendor makes for\n\
         each: `hawser setup link --template-url URL --region REGION --set LaunchToken=… --set ExternalId=…`\n",
    );
    for (title, template, name) in [("One account", one, TEMPLATE), ("An organization", all, ORGANIZATION)] {
        let file = manifest.file(name).context("a template is missing")?;
        for region in regions {
            let url = manifest.url(file, region.as_str());
            let link = link(template, &url, region, STACK_NAME, &BTreeMap::new())?;
            writeln!(text, "\n{title}, in {region}\n  template  {}\n  link      {}", link.template_url, link.url)?;
            writeln!(text, "  to fill in: {}", link.to_fill_in.join(", "))?;
        }
    }
    Ok(text)
}

struct DistWriter<'a> {
    folder: PathBuf,
    files: Vec<File>,
    sums: BTreeMap<String, String>,
    say: &'a mut dyn FnMut(&str),
}

impl DistWriter<'_> {
    /// A file that is only in `dist/`.
    fn write(&mut self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        std::fs::write(self.folder.join(name), content).with_context(|| format!("could not write `{name}`"))?;
        self.sums.insert(name.to_owned(), hex::encode(Sha256::digest(content)));
        (self.say)(&format!("{name}: {} bytes", content.len()));
        Ok(())
    }

    /// A file that is uploaded, its hash in its key.
    fn add(&mut self, name: &str, content_type: &str, content: &[u8]) -> anyhow::Result<()> {
        let (stem, kind) = name.split_once('.').context("a file without a kind")?;
        self.put(name.to_owned(), stem, kind, content_type, content)
    }

    /// The same, its hash in its name too.
    fn add_hashed(&mut self, stem: &str, kind: &str, content_type: &str, content: &[u8]) -> anyhow::Result<()> {
        let name = format!("{stem}-{}.{kind}", hex::encode(Sha256::digest(content)));
        self.put(name, stem, kind, content_type, content)
    }

    fn put(&mut self, name: String, stem: &str, kind: &str, content_type: &str, content: &[u8]) -> anyhow::Result<()> {
        let sha256 = hex::encode(Sha256::digest(content));
        let key = format!("hawser/{}/{stem}-{sha256}.{kind}", env!("CARGO_PKG_VERSION"));
        self.write(&name, content)?;
        self.files.push(File { name, key, content_type: content_type.to_owned(), sha256, bytes: content.len() });
        Ok(())
    }
}

/// A folder beside `dist`, empty.
fn fresh(dist: &Path) -> anyhow::Result<PathBuf> {
    ensure!(
        !dist.exists() || dist.join(MANIFEST).is_file(),
        "`{}` was not made by `make package`, and is not replaced",
        dist.display()
    );
    let folder = dist.with_extension("new");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("could not make `{}`", folder.display()))?;
    Ok(folder)
}

fn put_in_place(folder: &Path, dist: &Path) -> anyhow::Result<()> {
    if dist.exists() {
        std::fs::remove_dir_all(dist)?;
    }
    std::fs::rename(folder, dist).with_context(|| format!("could not make `{}`", dist.display()))
}
