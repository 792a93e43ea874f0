//! An emulator, a scripted vendor and the packaged template: what every test begins with.

use aws_sdk_costandusagereport::types::ReportDefinition;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use hawser_dev::{
    account::Account,
    constants::{CUSTOMER, STACK, STACK_REGION, parameters},
    emulator::Emulator,
    leaks,
    stack::{Outcome, Parameters, Stack, handler_zip, package, template},
    strict_proxy::{calls::Call, scenario::Scenario, shared::BILLING_REGION},
    vendor::{Launch, Script, ScriptedVendor},
};
use serde_json::{Value, json};

/// A launch token for the scripted vendor, which does not check it.
pub(crate) const TOKEN: &str = "whsec_dGhpcyBpcyBub3QgYSBzZWNyZXQsIGl0IGlzIGEgdGVzdA==";

/// See the module.
pub(crate) struct Testbed {
    pub(crate) emulator: Emulator,
    pub(crate) vendor: ScriptedVendor,
    pub(crate) template: String,
    pub(crate) parameters: Parameters,
}

impl Testbed {
    /// The circumstances of `dev/scenarios/<scenario>.json`, and a vendor that accepts.
    pub(crate) async fn new(scenario: &str) -> Self {
        Self::with_template(scenario, &template().unwrap()).await
    }

    /// The same with a changed template.
    pub(crate) async fn with_template(scenario: &str, template: &str) -> Self {
        let zip = handler_zip().unwrap();
        let emulator = Emulator::start(Scenario::named(scenario).unwrap()).await.unwrap();
        let vendor = ScriptedVendor::start(emulator.certificates(), Script::Accept).await.unwrap();
        let template = package(&emulator.root(CUSTOMER, STACK_REGION), template, &zip).await.unwrap();
        let launch = Launch { token: TOKEN.to_owned(), external_id: "external-id-of-the-test".to_owned() };
        let parameters = parameters(&vendor.notice_url(), &launch);
        Self { emulator, vendor, template, parameters }
    }

    /// A function with 20 s: the handler tries until its time is nearly over, and with the template's 120 s a test would wait
    /// for most of it.
    pub(crate) async fn with_little_time() -> Self {
        let template = template().unwrap();
        assert_eq!(template.matches(" Timeout: 120").count(), 1);
        Self::with_template("standalone", &template.replace(" Timeout: 120", " Timeout: 20")).await
    }

    /// The customer's root in the stack's Region.
    pub(crate) fn customer(&self) -> Account {
        self.emulator.root(CUSTOMER, STACK_REGION)
    }

    /// The customer's root where billing is.
    pub(crate) fn billing(&self) -> Account {
        self.emulator.root(CUSTOMER, BILLING_REGION)
    }

    /// The parameters with some changed.
    pub(crate) fn with(&self, changes: &[(&str, &str)]) -> Parameters {
        let mut parameters = self.parameters.clone();
        parameters.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        parameters
    }

    /// Creates the stack, whatever comes of it.
    pub(crate) async fn create(&self, changes: &[(&str, &str)]) -> (Stack, Outcome) {
        self.create_named(STACK, changes).await
    }

    /// Creates a stack of another name.
    pub(crate) async fn create_named(&self, name: &str, changes: &[(&str, &str)]) -> (Stack, Outcome) {
        Stack::create(&self.customer(), name, &self.template, &self.with(changes), &mut |_| {}).await.unwrap()
    }

    /// Creates the stack, which must succeed.
    pub(crate) async fn created(&self, changes: &[(&str, &str)]) -> Stack {
        let (stack, outcome) = self.create(changes).await;
        self.expect_status(&outcome, "CREATE_COMPLETE");
        stack
    }

    /// Updates the stack, which must succeed.
    pub(crate) async fn updated(&self, stack: &mut Stack, changes: &[(&str, &str)]) {
        let outcome = stack.update(&self.template, &self.with(changes), &mut |_| {}).await.unwrap();
        self.expect_status(&outcome, "UPDATE_COMPLETE");
    }

    /// Deletes the stack, which must succeed. AWS's models allow every request that was made in its life.
    pub(crate) async fn deleted(&self, stack: &mut Stack) {
        let outcome = stack.delete(&mut |_| {}).await.unwrap();
        self.expect_status(&outcome, "DELETE_COMPLETE");
        self.assert_all_fit();
    }

    /// Fails with everything that helps to see why.
    pub(crate) fn expect_status(&self, outcome: &Outcome, status: &str) {
        let calls: Vec<String> = self.emulator.front().calls().all().iter().map(describe).collect();
        assert_eq!(
            outcome.status,
            status,
            "{}\ncalls:\n{}\nhandler:\n{}",
            outcome.first_failure(),
            calls.join("\n"),
            self.emulator.handler_log()
        );
    }

    /// The account's reports.
    pub(crate) async fn reports(&self) -> Vec<ReportDefinition> {
        let answer = self.billing().reports().describe_report_definitions().send().await.unwrap();
        answer.report_definitions().to_vec()
    }

    /// The report names.
    pub(crate) async fn report_names(&self) -> Vec<String> {
        self.reports().await.iter().map(|report| report.report_name().to_owned()).collect()
    }

    /// The names of the customer's buckets, without the one that holds the code.
    pub(crate) async fn buckets(&self) -> Vec<String> {
        let answer = self.billing().s3().list_buckets().send().await.unwrap();
        let names = answer.buckets().iter().filter_map(|bucket| bucket.name().map(str::to_owned));
        names.filter(|name| !name.starts_with("artifacts-")).collect()
    }

    /// A report that the customer has, made without any check, and its bucket unless it is to be missing.
    pub(crate) async fn customers_report(&self, name: &str, bucket: &str, changes: &[(&str, Value)], make_bucket: bool) {
        if make_bucket {
            self.billing().s3().create_bucket().bucket(bucket).send().await.unwrap();
        }
        let mut report = json!({
            "ReportName": name, "TimeUnit": "HOURLY", "Format": "Parquet", "Compression": "Parquet",
            "AdditionalSchemaElements": ["RESOURCES"], "S3Bucket": bucket, "S3Prefix": "billing", "S3Region": "us-east-1",
            "AdditionalArtifacts": ["ATHENA"], "RefreshClosedReports": true, "ReportVersioning": "OVERWRITE_REPORT",
        });
        for (member, value) in changes {
            report[*member] = value.clone();
        }
        let input = json!({"ReportDefinition": report});
        let target = "AWSOrigamiServiceGatewayService.PutReportDefinition";
        let (status, _) = self.billing().json("cur", target, &input).await.unwrap();
        assert_eq!(status, 200);
    }

    /// A Data Export that the customer has, made without any check: hourly, with resources, in a bucket that is there already.
    /// `changes` are by JSON pointer; the answer is its ARN.
    pub(crate) fn customers_export(&self, name: &str, table: &str, bucket: &str, changes: &[(&str, Value)]) -> String {
        let mut properties = json!({"TIME_GRANULARITY": "HOURLY"});
        if table == "COST_AND_USAGE_REPORT" {
            properties["INCLUDE_RESOURCES"] = json!("TRUE");
        }
        let mut export = data_export(name, bucket, "*", table, &properties);
        for (pointer, value) in changes {
            *export.pointer_mut(pointer).unwrap() = value.clone();
        }
        self.emulator.front().put_export(CUSTOMER, export)
    }

    /// The account's Data Exports.
    pub(crate) fn exports(&self) -> Vec<Value> {
        self.emulator.front().exports(CUSTOMER)
    }

    /// The handler's calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.emulator.front().calls().all().into_iter().filter(|call| call.principal == "role").collect()
    }

    /// AWS's own models allow every request that was made.
    pub(crate) fn assert_all_fit(&self) {
        let misfits: Vec<String> =
            self.calls().iter().filter_map(|call| Some(format!("{}: {}", call.name(), call.misfit.as_ref()?))).collect();
        assert_eq!(misfits, Vec::<String>::new());
    }

    /// Puts an object, as AWS would deliver it.
    pub(crate) async fn deliver(&self, bucket: &str, key: &str) {
        let body = b"line items".to_vec();
        self.billing().s3().put_object().bucket(bucket).key(key).body(body.into()).send().await.unwrap();
    }

    /// New objects of the bucket are encrypted with this key from now on.
    pub(crate) async fn encrypt(&self, bucket: &str, key: &str) {
        let rule = format!(
            "<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>\
             <ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{key}</KMSMasterKeyID>\
             </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
        );
        let (status, body) = self.billing().raw("s3", "PUT", &format!("/{bucket}?encryption"), &[], rule).await.unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }

    /// Keeps every version from now on.
    pub(crate) async fn enable_versioning(&self, bucket: &str) {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        self.billing().s3().put_bucket_versioning().bucket(bucket).versioning_configuration(on).send().await.unwrap();
    }

    /// The keys of a bucket.
    pub(crate) async fn keys(&self, bucket: &str) -> Vec<String> {
        let answer = self.billing().s3().list_objects_v2().bucket(bucket).send().await.unwrap();
        answer.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    /// HW-W2, F-7, F-8: nothing that was written holds a secret.
    pub(crate) fn assert_no_leaks(&self) {
        let mut secrets: Vec<(&str, String)> = vec![("the launch token", TOKEN.to_owned())];
        secrets.extend(self.emulator.front().secrets().into_iter().map(|secret| ("a token or signature", secret)));
        for notice in self.vendor.notices() {
            secrets.extend(notice.secrets().into_iter().map(|secret| ("a signature of a notice", secret)));
        }
        let secrets: Vec<(&str, &str)> = secrets.iter().map(|(kind, secret)| (*kind, secret.as_str())).collect();
        let (emulator, handler) = (self.emulator.log(), self.emulator.handler_log());
        assert!(!handler.is_empty(), "the handler left no log to search");
        let calls = json!(self.emulator.front().calls().all()).to_string();
        let texts = [("the emulator's log", emulator.as_str()), ("the handler's log", &handler), ("the calls", &calls)];
        assert_eq!(leaks::search(&texts, &secrets), []);
    }

    /// Every notice that the real binary sent is what `docs/notice.schema.json` says to vendors. `kinds` are of connections,
    /// unless they name what they are of.
    pub(crate) fn assert_notices_fit_the_schema(&self, kinds: &[&str]) {
        let text = std::fs::read_to_string(hawser_dev::venv::repository().join("docs/notice.schema.json")).unwrap();
        let schema = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
        let notices = self.vendor.notices();
        for notice in &notices {
            let wrong: Vec<String> =
                schema.iter_errors(&notice.event).map(|why| format!("{}: {why}", why.instance_path())).collect();
            assert!(wrong.is_empty(), "{}: {wrong:#?}", notice.kind());
        }
        for kind in kinds {
            let kind = if kind.contains('.') { format!("hawser.{kind}") } else { format!("hawser.connection.{kind}") };
            assert!(notices.iter().any(|notice| notice.kind() == kind), "no notice `{kind}`");
        }
    }
}

/// One call, on one line.
pub(crate) fn describe(call: &Call) -> String {
    let error = call.error.as_deref().unwrap_or_default();
    format!("{} {} {} {} {error}", call.name(), call.region, call.account, call.status)
}

/// An `Export` as CreateExport takes it.
pub(crate) fn data_export(name: &str, bucket: &str, columns: &str, table: &str, properties: &Value) -> Value {
    json!({
        "Name": name,
        "DataQuery": {"QueryStatement": format!("SELECT {columns} FROM {table}"), "TableConfigurations": {table: properties}},
        "DestinationConfigurations": {"S3Destination": {
            "S3Bucket": bucket, "S3Prefix": "exports", "S3Region": BILLING_REGION,
            "S3OutputConfigurations": {"OutputType": "CUSTOM", "Format": "PARQUET", "Compression": "PARQUET",
                                       "Overwrite": "OVERWRITE_REPORT"}}},
        "RefreshCadence": {"Frequency": "SYNCHRONOUS"}})
}
