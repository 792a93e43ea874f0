//! `make package` and `make publish`: what a vendor publishes is there, whole, once, and launches.

use std::{collections::BTreeMap, path::Path, time::Duration};

use aws_sdk_cloudformation::types::{Capability, Parameter};
use aws_sdk_s3::{
    error::ProvideErrorMetadata as _,
    types::{BucketLocationConstraint, CreateBucketConfiguration, PublicAccessBlockConfiguration},
};
use hawser::names::Region;
use hawser_cli::published::{CHECKSUMS, verify};
use hawser_dev::{
    account::Account,
    constants::{STACK, STRANGER, VENDOR},
    emulator::Emulator,
    stack::{Parameters, handler_zip, template},
};
use hawser_publish::{
    Manifest, bucket,
    package::{Built, INLINE, ORGANIZATION, PackageRequest, SigningKey, TEMPLATE, package},
    upload::{Published, publish},
};
use minisign::KeyPair;
use serde_json::{Value, json};

use crate::world::Testbed;

const PREFIX: &str = "acme-hawser";
const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-southeast-2"];

/// Packages for these Regions into a folder.
pub(crate) fn dist(folder: &Path, regions: &[&str], defaults: &[(&str, &str)]) -> Manifest {
    dist_of(&template().unwrap(), folder, regions, defaults)
}

/// The same of another template.
pub(crate) fn dist_of(template: &str, folder: &Path, regions: &[&str], defaults: &[(&str, &str)]) -> Manifest {
    let request = PackageRequest {
        bucket_prefix: PREFIX.to_owned(),
        regions: regions.iter().map(|region| region.parse::<Region>().unwrap()).collect(),
        architecture: "x86_64".to_owned(),
        defaults: defaults.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        signing_key: None,
        without_access_key: false,
    };
    let zips = BTreeMap::from([("x86_64".to_owned(), handler_zip().unwrap())]);
    let built = Built { zips, sbom: json!({"bomFormat": "CycloneDX"}).to_string() };
    package(template, &request, &built, folder, &mut |_| {}).unwrap()
}

/// A bucket whose objects everybody may read, as a publisher makes it.
pub(crate) async fn make_bucket(emulator: &Emulator, owner: &str, region: &str, name: &str) {
    let s3 = emulator.root(owner, region).s3();
    let location = (region != "us-east-1")
        .then(|| CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region)).build());
    s3.create_bucket().bucket(name).set_create_bucket_configuration(location).send().await.unwrap();
    // A new bucket is closed to the public, ACLs and policies alike; customers need the latter.
    let access = PublicAccessBlockConfiguration::builder().block_public_acls(true).ignore_public_acls(true).build();
    s3.put_public_access_block().bucket(name).public_access_block_configuration(access).send().await.unwrap();
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": format!("arn:aws:s3:::{name}/hawser/*"),
    }]});
    s3.put_bucket_policy().bucket(name).policy(policy.to_string()).send().await.unwrap();
}

/// Publishes as the vendor, through the front, which knows whose a bucket is.
pub(crate) async fn upload(emulator: &Emulator, folder: &Path) -> anyhow::Result<Published> {
    let front = emulator.front().url().to_owned();
    let client = move |region: &str| Account::root(&front, VENDOR, region).s3();
    publish(folder, VENDOR, &client, &mut |_| {}).await
}

/// Creates a stack from a published template, as a launch link does, and waits for its end.
pub(crate) async fn launch(account: &Account, url: &str, parameters: &Parameters) -> Result<String, String> {
    let given = parameters.iter().map(|(name, value)| Parameter::builder().parameter_key(name).parameter_value(value).build());
    let cloudformation = account.cloudformation();
    let asked = cloudformation
        .create_stack()
        .stack_name(STACK)
        .template_url(url)
        .capabilities(Capability::CapabilityIam)
        .set_parameters(Some(given.collect()));
    let made = asked.send().await.map_err(|error| error.message().unwrap_or_default().to_owned())?;
    let id = made.stack_id().unwrap().to_owned();
    match settled(account, &id).await.as_str() {
        "CREATE_COMPLETE" => Ok(id),
        status => Err(format!("{status}: {}", reasons(account, &id).await)),
    }
}

/// The status of a stack once nothing goes on in it.
pub(crate) async fn settled(account: &Account, id: &str) -> String {
    loop {
        let stacks = account.cloudformation().describe_stacks().stack_name(id).send().await.unwrap();
        let status = stacks.stacks()[0].stack_status().unwrap().as_str().to_owned();
        if !status.ends_with("_IN_PROGRESS") {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn reasons(account: &Account, id: &str) -> String {
    let events = account.cloudformation().describe_stack_events().stack_name(id).send().await.unwrap();
    let failed =
        events.stack_events().iter().filter(|event| event.resource_status().is_some_and(|s| s.as_str().ends_with("FAILED")));
    failed.filter_map(|event| event.resource_status_reason()).collect::<Vec<_>>().join("; ")
}

/// F-40: three Regions, a bucket in each; a customer launches in one of them with what only it knows.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_launches() {
    let world = Testbed::new("standalone").await;
    let folder = world.emulator.folder().join("dist");
    let notice_url = world.vendor.notice_url();
    let vendor =
        [("VendorName", "Acme"), ("VendorAccountId", VENDOR), ("NoticeUrl", notice_url.as_str()), ("PackEc2", "ReadOnly")];
    let manifest = dist(&folder, &REGIONS, &vendor);
    for region in REGIONS {
        make_bucket(&world.emulator, VENDOR, region, &bucket(PREFIX, region)).await;
    }
    let files = manifest.files.len() * REGIONS.len();
    assert_eq!(upload(&world.emulator, &folder).await.unwrap(), Published { put: files, there: 0 });
    // Once more changes nothing.
    assert_eq!(upload(&world.emulator, &folder).await.unwrap(), Published { put: 0, there: files });
    for region in REGIONS {
        let s3 = world.emulator.root(VENDOR, region).s3();
        let listed = s3.list_objects_v2().bucket(bucket(PREFIX, region)).send().await.unwrap();
        assert_eq!(listed.contents().len(), manifest.files.len(), "{region}");
    }

    let own = world.parameters.iter().filter(|(name, _)| ["LaunchToken", "ExternalId"].contains(&name.as_str()));
    let own: Parameters = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    let url = manifest.url(manifest.file(TEMPLATE).unwrap(), "eu-west-1");
    let customer = world.customer();
    let stack = launch(&customer, &url, &own).await.unwrap();
    let established = &world.vendor.notices()[0];
    assert_eq!(established.kind(), "hawser.connection.established");
    assert_eq!(established.event["data"]["packs"]["ec2"], "ReadOnly");
    customer.cloudformation().delete_stack().stack_name(&stack).send().await.unwrap();
    assert_eq!(settled(&customer, &stack).await, "DELETE_COMPLETE");

    // In a Region without a bucket of the vendor's the stack is not even begun.
    let elsewhere = customer.in_region("us-west-2");
    let refused = launch(&elsewhere, &url, &own).await.unwrap_err();
    assert!(refused.contains("published for us-east-1, eu-west-1, ap-southeast-2"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_sources_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| -> BTreeMap<String, Vec<u8>> {
        let folder = folder.path().join(name);
        dist(&folder, &REGIONS, &[("VendorName", "Acme")]);
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
    };
    let (once, again) = (read("once"), read("again"));
    assert_eq!(once.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>());
    for (name, content) in &once {
        assert!(again[name] == *content, "{name} differs");
    }
    // Made once more in place of itself, and never in place of anything else.
    dist(&folder.path().join("once"), &REGIONS, &[]);
    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).unwrap();
    let request = PackageRequest {
        bucket_prefix: PREFIX.to_owned(),
        regions: vec!["eu-west-1".parse().unwrap()],
        architecture: "x86_64".to_owned(),
        defaults: BTreeMap::new(),
        signing_key: None,
        without_access_key: true,
    };
    let zips = BTreeMap::from([("x86_64".to_owned(), handler_zip().unwrap())]);
    let built = Built { zips, sbom: String::new() };
    let attempt = |request: &PackageRequest, folder: &Path| {
        package(&template().unwrap(), request, &built, folder, &mut |_| {})
            .map_or_else(|error| format!("{error:#}"), |_| String::new())
    };
    assert!(attempt(&request, &mine).contains("is not replaced"));
    let with = |change: &dyn Fn(&mut PackageRequest)| {
        let mut changed = request.clone();
        change(&mut changed);
        attempt(&changed, &folder.path().join("once"))
    };
    let default = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        with(&move |request| drop(request.defaults.insert(name.clone(), value.clone())))
    };
    assert!(
        default("LaunchToken", "whsec_dGhpcyBpcyBub3QgYSBzZWNyZXQsIGl0IGlzIGEgdGVzdA==")
            .contains("`LaunchToken` is made for one customer")
    );
    assert!(default("ExternalId", "customer-1").contains("`ExternalId` is made for one customer"));
    assert!(default("PackEc2", "Everything").contains("PackEc2"));
    assert!(default("AccessMethod", "AccessKey").contains("is left out of the templates"));
    assert_eq!(with(&|_| ()), "");
    for name in [TEMPLATE, ORGANIZATION, INLINE] {
        let text = std::fs::read_to_string(folder.path().join("once").join(name)).unwrap();
        assert!(text.contains("AWS::IAM::Role") && !text.contains("AWS::IAM::User\""), "{name}");
    }
    assert!(with(&|request| request.architecture = "arm64".to_owned()).contains("there is no zip for `arm64`, only for x86_64"));
    assert!(with(&|request| request.bucket_prefix = "Acme".to_owned()).contains("`Acme` cannot begin a bucket's name"));
    assert!(with(&|request| request.bucket_prefix = "a".repeat(60)).contains("longer than the 63 characters"));
    assert!(with(&|request| request.regions.push("eu-west-1".parse().unwrap())).contains("given twice"));
    assert!(with(&|request| request.regions.push("cn-north-1".parse().unwrap())).contains("different partitions"));
    assert!(with(&|request| request.regions.clear()).contains("no Region"));
}

/// What a customer downloads is checked by the vendor's key, file by file.
#[test]
fn what_was_published_is_verified_and_nothing_else() {
    let KeyPair { pk, sk } = KeyPair::generate_unencrypted_keypair().unwrap();
    let stranger = KeyPair::generate_unencrypted_keypair().unwrap();
    let key = SigningKey::read(&sk.to_box(None).unwrap().into_string(), None).unwrap();
    assert!(!format!("{key:?}").contains(&sk.to_box(None).unwrap().into_string()), "a secret key is never printed");
    let encrypted =
        KeyPair::generate_encrypted_keypair(Some("secret".to_owned())).unwrap().sk.to_box(None).unwrap().into_string();
    assert!(SigningKey::read(&encrypted, None).is_err() && SigningKey::read(&encrypted, Some("other".to_owned())).is_err());
    let folder = tempfile::tempdir().unwrap();
    let dist = folder.path().join("dist");
    let request = PackageRequest {
        bucket_prefix: PREFIX.to_owned(),
        regions: vec!["eu-west-1".parse().unwrap()],
        architecture: "x86_64".to_owned(),
        defaults: BTreeMap::new(),
        signing_key: Some(key),
        without_access_key: false,
    };
    let zips = BTreeMap::from([("x86_64".to_owned(), handler_zip().unwrap())]);
    package(&template().unwrap(), &request, &Built { zips, sbom: "{}".to_owned() }, &dist, &mut |_| {}).unwrap();
    let public = pk.to_base64();
    let verified = || verify(&dist, &public).map_err(|error| error.to_string());
    let names = verified().unwrap();
    assert_eq!(names.len(), std::fs::read_dir(&dist).unwrap().count());
    for name in [TEMPLATE, ORGANIZATION, CHECKSUMS, "SHA256SUMS.minisig", "sbom.cdx.json.minisig", "manifest.json"] {
        assert!(names.iter().any(|verified| verified == name), "{name}: {names:?}");
    }
    // By the file that minisign writes, and with what a customer has of it.
    let file = folder.path().join("vendor.pub");
    std::fs::write(&file, pk.to_box().unwrap().into_string()).unwrap();
    std::fs::remove_file(dist.join(ORGANIZATION)).unwrap();
    assert_eq!(verify(&dist, file.to_str().unwrap()).unwrap().len(), names.len() - 1);
    // Another key, another file, a file that is not the vendor's, and checksums that somebody wrote.
    assert!(verify(&dist, &stranger.pk.to_base64()).unwrap_err().to_string().starts_with("SIGNATURE_INVALID"));
    let changed = |name: &str, change: &dyn Fn(String) -> String| {
        let path = dist.join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, change(text.clone())).unwrap();
        let outcome = verified();
        if text.is_empty() {
            std::fs::remove_file(&path).unwrap()
        } else {
            std::fs::write(&path, text).unwrap()
        }
        outcome.unwrap_err()
    };
    assert!(changed(TEMPLATE, &|text| text + "\n").contains("its SHA-256 differs"));
    assert!(changed("more.yaml", &|_| "Resources: {}".to_owned()).contains("not among the signed checksums"));
    assert!(changed(CHECKSUMS, &|text| text.replace('a', "b")).contains("is not this key's signature"));
    assert!(changed("SHA256SUMS.minisig", &|text| text.replace("version", "Version")).contains("is not this key's signature"));
    assert!(changed("sbom.cdx.json", &|_| "{ }".to_owned()).starts_with("SIGNATURE_INVALID"));
    verified().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_that_are_not_the_vendors_are_refused() {
    let emulator = Emulator::start(Default::default()).await.unwrap();
    let folder = emulator.folder().join("dist");
    let manifest = dist(&folder, &REGIONS, &[]);
    let refused = async |code: &str, what: &str| {
        let why = upload(&emulator, &folder).await.unwrap_err().to_string();
        assert!(why.starts_with(&format!("{code}: ")) && why.contains(&format!("`{what}`")), "{why}");
    };
    make_bucket(&emulator, VENDOR, "us-east-1", "acme-hawser-us-east-1").await;

    refused("PUBLISH_BUCKET_MISSING", "acme-hawser-eu-west-1").await;
    make_bucket(&emulator, STRANGER, "eu-west-1", "acme-hawser-eu-west-1").await;
    refused("PUBLISH_BUCKET_DENIED", "acme-hawser-eu-west-1").await;
    emulator.root(STRANGER, "eu-west-1").s3().delete_bucket().bucket("acme-hawser-eu-west-1").send().await.unwrap();
    make_bucket(&emulator, VENDOR, "eu-west-1", "acme-hawser-eu-west-1").await;
    make_bucket(&emulator, VENDOR, "us-west-2", "acme-hawser-ap-southeast-2").await;
    refused("PUBLISH_BUCKET_REGION", "us-west-2").await;
    // All that was found before anything was put.
    let s3 = emulator.root(VENDOR, "us-east-1").s3();
    let listed = s3.list_objects_v2().bucket("acme-hawser-us-east-1").send().await.unwrap();
    assert_eq!(listed.contents().len(), 0);
    emulator.root(VENDOR, "us-west-2").s3().delete_bucket().bucket("acme-hawser-ap-southeast-2").send().await.unwrap();
    make_bucket(&emulator, VENDOR, "ap-southeast-2", "acme-hawser-ap-southeast-2").await;

    // Something else under the template's key stays, and the template, which comes last, is nowhere.
    let zip = &manifest.files[0];
    let put = s3.put_object().bucket("acme-hawser-us-east-1").key(&zip.key).body(b"other".to_vec().into());
    put.send().await.unwrap();
    refused("PUBLISH_KEY_TAKEN", &zip.key).await;
    let other = s3.get_object().bucket("acme-hawser-us-east-1").key(&zip.key).send().await.unwrap();
    assert_eq!(other.body.collect().await.unwrap().into_bytes(), &b"other"[..]);
    for region in REGIONS {
        let s3 = emulator.root(VENDOR, region).s3();
        let listed = s3.list_objects_v2().bucket(bucket(PREFIX, region)).send().await.unwrap();
        let templates =
            listed.contents().iter().filter(|object| object.key().is_some_and(|key| key.contains("template"))).count();
        assert_eq!(templates, 0, "{region}");
    }
    std::fs::write(folder.join(ORGANIZATION), "{}").unwrap();
    refused("PUBLISH_DIST_CHANGED", ORGANIZATION).await;
}

/// What a customer's tool reads beside the templates.
#[test]
fn checksums_and_links_belong_to_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("dist");
    let manifest = dist(&folder, &["eu-west-1"], &[("VendorName", "Acme")]);
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    for file in &manifest.files {
        assert!(sums.contains(&format!("{}  {}", file.sha256, file.name)), "{}", file.name);
        assert!(file.key.contains(&file.sha256), "{}", file.key);
    }
    let links = std::fs::read_to_string(folder.join("launch-links.txt")).unwrap();
    let template = manifest.file(TEMPLATE).unwrap();
    assert!(
        links.contains(&format!("template  https://acme-hawser-eu-west-1.s3.eu-west-1.amazonaws.com/{}", template.key)),
        "{links}"
    );
    assert!(links.contains("to fill in: VendorAccountId, NoticeUrl, ExternalId, LaunchToken"), "{links}");
    let text = std::fs::read_to_string(folder.join(ORGANIZATION)).unwrap();
    let organization: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(organization["Parameters"]["MemberTemplateUrl"]["Default"], manifest.url(template, "eu-west-1"));
    assert_eq!(organization["Parameters"]["MemberRegion"]["AllowedValues"], json!(["", "eu-west-1"]));
}
