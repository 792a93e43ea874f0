//! `hawser` as a person types it: what it prints, and its exit codes.

use std::{
    collections::BTreeSet,
    fs,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::support::{self, commands_of, empty_folder};

fn hawser(arguments: &[&str]) -> Output {
    support::hawser().args(arguments).output().unwrap()
}

fn printed(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn complained(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// What a command prints when it does what it is asked.
fn text(arguments: &str) -> String {
    let output = hawser(&arguments.split_whitespace().collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{arguments}: {}", complained(&output));
    printed(&output).to_owned()
}

/// The same for programs.
fn json(arguments: &str) -> Value {
    serde_json::from_str(&text(&format!("{arguments} --output json"))).unwrap()
}

/// Asserts that a command stops with this exit code and this stable code, for people and for programs.
fn assert_stops(arguments: &str, exit: i32, code: &str) {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let output = hawser(&words);
    assert_eq!(output.status.code(), Some(exit), "{arguments}: {}", complained(&output));
    assert!(complained(&output).starts_with(&format!("error: {code}: ")), "{arguments}: {}", complained(&output));
    assert_eq!(printed(&output), "", "{arguments}");
    let output = hawser(&[&words[..], &["--output", "json"]].concat());
    let said: Value = serde_json::from_str(printed(&output)).unwrap();
    assert_eq!((output.status.code(), said["code"].as_str()), (Some(exit), Some(code)), "{arguments}");
}

/// Policies change with the template and are compared with it elsewhere; here they are one line.
fn without_documents(text: &str) -> String {
    let mut kept = String::new();
    let mut within = false;
    for line in text.lines() {
        match (within, line) {
            (false, "{") => {
                within = true;
                kept.push_str("{ a policy }\n");
            }
            (true, "}") => within = false,
            (true, _) => {}
            (false, line) => {
                kept.push_str(line);
                kept.push('\n');
            }
        }
    }
    kept
}

/// Sizes change with the template as well.
fn without_numbers(text: &str) -> String {
    let mut kept = String::new();
    for part in text.split_inclusive(" of 6144 characters") {
        match part.strip_suffix(" of 6144 characters") {
            Some(before) => {
                kept.push_str(before.trim_end_matches(|c: char| c.is_ascii_digit()));
                kept.push_str("(n) of 6144 characters");
            }
            None => kept.push_str(part),
        }
    }
    kept
}

const VENDOR: &str = "--set VendorAccountId=999988887777 --set ExternalId=customer-4711";
const ONLY_BILLING: &str = "--set PackSecurityAudit=None";
const ACCOUNT: &str = "--account 111122223333 --region eu-west-1 --set PackSecurityAudit=ReadOnly";

fn plan(event: &str, account: &str, more: &[&str]) -> Output {
    let (event, account) = (format!("events/{event}.json"), format!("docs/examples/{account}.json"));
    hawser(&[&["plan", "--event", &event, "--account", &account], more].concat())
}

#[test]
fn a_plan_is_printed_for_people_and_for_programs() {
    let text = plan("billing-export-delete-with-data", "account-connected", &[]);
    assert_eq!(text.status.code(), Some(0));
    insta::assert_snapshot!(printed(&text), @"
    Delete of BillingExport
      physical id   hawser/billing-export/hawser-5a650d96f0bd9fb2
      decision      what this stack created is removed
      round 1       retire report `hawser-5a650d96f0bd9fb2`
      round 2       retire the data below `hawser-111122223333-5a650d96f0bd9fb2/hawser/`
      round 3       retire bucket `hawser-111122223333-5a650d96f0bd9fb2` if it holds no data
    ");
    let json = plan("billing-export-delete-with-data", "account-connected", &["--output", "json"]);
    let json: Value = serde_json::from_str(printed(&json)).unwrap();
    assert_eq!(json["rounds"].as_array().unwrap().len(), 3);
}

#[test]
fn an_event_can_come_from_standard_input() {
    let event = fs::File::open(support::root().join("events/billing-export-delete-with-data.json")).unwrap();
    let account = "docs/examples/account-connected.json";
    let read = support::hawser().args(["plan", "--event", "-", "--account", account]).stdin(event).output().unwrap();
    assert_eq!(printed(&read), printed(&plan("billing-export-delete-with-data", "account-connected", &[])));
}

#[test]
fn an_event_that_would_fail_its_stack_says_so_with_code_3() {
    let text = plan("billing-export-create", "account-full", &[]);
    assert_eq!(text.status.code(), Some(3));
    assert!(complained(&text).starts_with("error: the stack would fail\n  BILLING_REPORT_LIMIT: "), "{}", complained(&text));
    let json = plan("billing-export-create", "account-full", &["--output", "json"]);
    assert_eq!(json.status.code(), Some(3));
    let json: Value = serde_json::from_str(printed(&json)).unwrap();
    assert_eq!(json["code"], "BILLING_REPORT_LIMIT");
}

#[test]
fn an_unreadable_file_and_an_unknown_value_have_different_exit_codes() {
    let missing = hawser(&["plan", "--event", "no-such-file", "--account", "no-such-file"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(complained(&missing).starts_with("error: FILE: could not read `no-such-file`"));
    let not_an_account =
        hawser(&["plan", "--event", "events/billing-export-create.json", "--account", "events/billing-export-create.json"]);
    assert_eq!(not_an_account.status.code(), Some(1), "an account file with unknown fields");
    assert_eq!(hawser(&["plan", "--evnt", "x"]).status.code(), Some(2));
    assert_eq!(hawser(&["profiles", "no-such-file.toml"]).status.code(), Some(1));
    assert_eq!(hawser(&["profiles", "deny.toml"]).status.code(), Some(1), "a file that is no profile");
    let folder = hawser(&["setup", "terraform", "--dir", "Cargo.toml/module"]);
    assert_eq!(folder.status.code(), Some(1), "a folder that cannot be made");
    assert!(complained(&folder).starts_with("error: FILE: could not write `Cargo.toml/module`"), "{}", complained(&folder));
}

/// The commands that `hawser --help` lists.
fn commands() -> BTreeSet<String> {
    let top = commands_of("");
    let setup = commands_of("setup").into_iter().map(|method| format!("setup {method}"));
    top.into_iter().filter(|command| command != "setup").chain(setup).collect()
}

/// Those that need an account and credentials, with which their own tests run them.
const WITH_CREDENTIALS: [&str; 3] = ["connect", "disconnect", "preflight"];

#[test]
fn every_command_has_a_help_text_with_examples_that_work() {
    let commands = commands();
    let known = ["plan", "profiles", "setup guide", "setup link", "setup policies", "setup script", "setup trust", "template"];
    assert!(known.iter().all(|command| commands.contains(*command)), "{commands:?}");
    for command in &commands {
        let help = text(&format!("{command} --help"));
        assert!(help.contains("\n      --output <OUTPUT>\n"), "{command}");
        assert!(help.contains("\nExit codes: 0 "), "{command}");
        let examples: Vec<&str> = help.lines().map(str::trim).filter(|line| line.starts_with("hawser ")).collect();
        assert!(!examples.is_empty(), "{command}");
        for example in examples {
            assert!(example.starts_with(&format!("hawser {command}")), "{example}");
            if WITH_CREDENTIALS.contains(&command.as_str()) {
                continue;
            }
            let arguments = example.split_once(' ').unwrap().1;
            text(arguments);
            if !example.contains("--dir") {
                json(arguments);
            }
        }
    }
}

#[test]
fn help_is_unchanged() {
    for command in commands().iter().filter(|command| !WITH_CREDENTIALS.contains(&command.as_str())) {
        insta::assert_snapshot!(format!("help_{}", command.replace(' ', "_")), text(&format!("{command} --help")));
    }
}

#[test]
fn texts_are_unchanged() {
    let link = "setup link --template-url https://acme-eu-west-1.s3.eu-west-1.amazonaws.com/template.yaml --region eu-west-1";
    insta::assert_snapshot!("link", text(&format!("{link} {VENDOR} --set VendorName=Acme --set PackBilling=ReadOnly")));
    insta::assert_snapshot!("trust", text(&format!("setup trust {VENDOR} --region us-gov-west-1")));
    let policies = text(&format!("setup policies {ACCOUNT}"));
    insta::assert_snapshot!("policies", without_numbers(&without_documents(&policies)));
    let script = |more: &str| without_documents(&text(&format!("setup script {ACCOUNT} {VENDOR} --set VendorName=Acme {more}")));
    // The digest of a document.
    let script = |more: &str| {
        let lines = script(more);
        let digest = |word: &str| word.len() == 32 && word.chars().all(|c| c.is_ascii_hexdigit());
        let line =
            |line: &str| line.split(' ').map(|word| if digest(word) { "(digest)" } else { word }).collect::<Vec<_>>().join(" ");
        lines.lines().map(|one| line(one) + "\n").collect::<String>()
    };
    insta::assert_snapshot!("cli", script(""));
    let head =
        |text: String| text.split("\nsay() {").next().unwrap().to_owned() + text.split("\ntrust_policy() {").nth(1).unwrap();
    insta::assert_snapshot!("cli_user", head(script("--user --set PackSecurityAudit=None")));
    insta::assert_snapshot!("cli_existing_role", head(script("--existing-role theirs --bucket costs --name acme")));
    let page = |more: &str| {
        without_documents(&text(&format!("setup guide {ACCOUNT} {VENDOR} --set VendorName=Acme {ONLY_BILLING} {more}")))
    };
    // Why a statement is there is for the template to say.
    let page =
        |more: &str| page(more).lines().filter(|line| !line.starts_with("- `")).map(|l| format!("{l}\n")).collect::<String>();
    insta::assert_snapshot!("page", page(""));
    insta::assert_snapshot!("page_user", page("--set AccessMethod=AccessKey --bucket costs"));
    insta::assert_snapshot!("page_existing_role", page("--set ExistingRoleName=theirs"));
    let module = json(&format!("setup terraform {VENDOR} --set VendorName=Acme"));
    let files: Vec<&String> = module["module"].as_object().unwrap().keys().collect();
    assert_eq!(files, ["README.md", "billing.tf", "example/main.tf", "main.tf", "outputs.tf", "packs.tf", "variables.tf"]);
    insta::assert_snapshot!("terraform_billing", module["module"]["billing.tf"].as_str().unwrap());
    let (before, after) = module["module"]["main.tf"].as_str().unwrap().split_once("# What the variables come to.").unwrap();
    insta::assert_snapshot!("terraform_main", format!("{before}(conditions){}", after.split_once("\n}\n").unwrap().1));
    let profile = "tests/profiles/example.toml";
    insta::assert_snapshot!("profile", text(&format!("profiles {profile}")));
    let by_profile = text(&format!("setup guide {ACCOUNT} {VENDOR} --profile {profile}"));
    assert!(by_profile.contains("**account 999988887777 gets:** What the example gets."), "{by_profile}");
}

#[test]
fn programs_get_the_same() {
    let policies = json(&format!("setup policies {ACCOUNT} {ONLY_BILLING}"));
    let [billing] = policies["policies"].as_array().unwrap().as_slice() else { panic!("{policies}") };
    assert_eq!((billing["file"].as_str(), billing["charactersMax"].as_u64()), (Some("billing.json"), Some(6_144)));
    assert_eq!(policies["notes"].as_array().unwrap().len(), 1);
    assert_eq!(json(&format!("setup policies {ACCOUNT} --bucket costs"))["notes"], serde_json::json!([]));
    let all = json(&format!("setup policies {ACCOUNT}"));
    assert_eq!(all["managedPolicies"], serde_json::json!(["arn:aws:iam::aws:policy/SecurityAudit"]));
    let inline = json(&format!("setup policies {ACCOUNT} --inline"));
    assert_eq!(inline["policies"][0]["charactersMax"], 10_240);
    assert_eq!(json(&format!("setup trust {VENDOR}"))["trustPolicy"]["Version"], "2012-10-17");
    let text_of = |arguments: &str, key: &str| assert_eq!(json(arguments)[key].as_str().unwrap(), text(arguments), "{arguments}");
    text_of(&format!("setup script {ACCOUNT} {VENDOR}"), "script");
    text_of(&format!("setup guide {ACCOUNT} {VENDOR}"), "page");
    let names: Vec<Value> = json("profiles")["profiles"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names.len(), text("profiles").lines().count());
    for name in names {
        assert_eq!(json(&format!("profiles {}", name.as_str().unwrap()))["name"], name);
    }
    let template = json("template --local-code --inline");
    assert!(template["bytes"].as_u64().unwrap() < 51_200);
    serde_json::from_str::<Value>(template["template"].as_str().unwrap()).unwrap();
    let whole: Value = serde_json::from_str(&text("template --local-code")).unwrap();
    assert!(whole["Resources"]["PackEc2Policy"].is_object());
    let narrow: Value = serde_json::from_str(&text("template --local-code --profile cost-insights")).unwrap();
    assert!(narrow["Resources"]["PackEc2Policy"].is_null() && narrow["Resources"]["PackBillingPolicy"].is_object());
}

/// What is printed can be deployed, or the error says what is missing.
#[test]
fn a_template_has_code_that_cloudformation_can_read() {
    for form in ["", " --inline --profile cost-insights", " --organization"] {
        assert_stops(&format!("template{form}"), 2, "TEMPLATE_CODE_MISSING");
        let code = "--code s3://acme-eu-west-1/hawser/code/1.zip";
        let template: Value = serde_json::from_str(&text(&format!("template {code}{form}"))).unwrap();
        let function = &template["Resources"]["Handler"]["Properties"];
        assert_eq!(function["Code"], serde_json::json!({ "S3Bucket": "acme-eu-west-1", "S3Key": "hawser/code/1.zip" }));
        assert_eq!(function["Architectures"], serde_json::json!(["x86_64"]));
        let arm = text(&format!("template {code} --architecture arm64{form}"));
        assert!(arm.contains("arm64") && !arm.contains("x86_64") && !arm.contains("target/lambda"), "{form}");
    }
    for wrong in ["acme/1.zip", "s3://acme", "s3://acme/", "s3://a/1.zip", "https://acme/1.zip"] {
        assert_eq!(hawser(&["template", "--code", wrong]).status.code(), Some(2), "{wrong}");
    }
    assert_eq!(hawser(&["template", "--local-code", "--code", "s3://acme/1.zip"]).status.code(), Some(2));
}

/// `> policy.json` is JSON: what a document is, and its size, stand beside it.
#[test]
fn policies_are_json_alone() {
    let output = hawser(&["setup", "policies", "--account", "111122223333", "--set", "PackSecurityAudit=ReadOnly"]);
    let documents = serde_json::Deserializer::from_str(printed(&output)).into_iter::<Value>().map(Result::unwrap);
    assert_eq!(documents.count(), 2);
    assert!(complained(&output).starts_with("# pack billing (ReadOnly): "), "{}", complained(&output));
    assert!(!complained(&output).contains(".,"), "{}", complained(&output));
}

#[test]
fn files_are_written_where_they_are_wanted() {
    let folder = empty_folder("command_line");
    let folder = folder.to_str().unwrap();
    let said = text(&format!("setup policies {ACCOUNT} --dir {folder}/policies"));
    assert_eq!(said.lines().filter(|line| line.starts_with(folder)).count(), 2, "{said}");
    for name in ["billing.json", "security-audit.json"] {
        let document: Value = serde_json::from_str(&fs::read_to_string(format!("{folder}/policies/{name}")).unwrap()).unwrap();
        assert_eq!(document["Version"], "2012-10-17");
    }
    let module = format!("setup terraform --dir {folder}/module");
    let files = json(&module)["files"].as_array().unwrap().len();
    assert_eq!((files, fs::read_dir(format!("{folder}/module")).unwrap().count()), (7, 7));
    assert!(fs::exists(format!("{folder}/module/example/main.tf")).unwrap());
    // What somebody changed, or wrote, is not written over; nothing is, then.
    text(&module);
    let main = format!("{folder}/module/main.tf");
    fs::write(&main, "mine").unwrap();
    fs::remove_file(format!("{folder}/module/packs.tf")).unwrap();
    assert_stops(&module, 3, "FILE_EXISTS");
    assert!(!fs::exists(format!("{folder}/module/packs.tf")).unwrap());
    assert_eq!(fs::read_to_string(&main).unwrap(), "mine");
    std::os::unix::fs::symlink(format!("{folder}/nowhere"), format!("{folder}/module/packs.tf")).unwrap();
    assert_stops(&module, 3, "FILE_EXISTS");
    text(&format!("{module} --overwrite"));
    assert_ne!(fs::read_to_string(&main).unwrap(), "mine");
}

#[test]
fn what_goes_wrong_has_a_code_and_an_exit_code() {
    assert_stops(&format!("setup policies {ACCOUNT} --set PackEC2=ReadOnly"), 2, "PARAMETER_UNKNOWN");
    assert_stops(&format!("setup policies {ACCOUNT} --set PackEc2=Yes"), 2, "PARAMETER_INVALID");
    assert_stops(&format!("setup policies {ACCOUNT} --profile nope"), 2, "PROFILE_UNKNOWN");
    assert_stops(&format!("setup policies {ACCOUNT} --set PackBilling=None {ONLY_BILLING}"), 2, "NO_PACKS");
    assert_stops(&format!("setup policies {ACCOUNT} --bucket a"), 2, "BUCKET_INVALID");
    assert_stops(&format!("setup policies {ACCOUNT} --name 1"), 2, "NAME_INVALID");
    assert_stops(&format!("setup policies {ACCOUNT} --set PackAnalyticsEngine=ReadWrite"), 2, "PARAMETER_MISSING");
    assert_stops(&format!("setup policies {ACCOUNT} --set ExistingPrefix=x"), 3, "RULE_FAILED");
    assert_stops("setup trust --set VendorAccountId=999988887777 --set ExternalId=", 3, "EXTERNAL_ID_EMPTY");
    assert_stops("setup trust --set ExternalId=customer-4711", 2, "PARAMETER_MISSING");
    assert_stops(&format!("setup script {ACCOUNT} --set VendorAccountId=999988887777"), 3, "EXTERNAL_ID_EMPTY");
    assert_stops(&format!("setup guide {ACCOUNT} --set VendorAccountId=999988887777"), 3, "EXTERNAL_ID_EMPTY");
    assert_stops(&format!("setup guide {ACCOUNT} {VENDOR} --set RolePath=/vendors/"), 3, "UNSUPPORTED_HERE");
    assert_stops("setup terraform --set AccessMethod=AccessKey", 3, "UNSUPPORTED_HERE");
    let link = "setup link --region eu-west-1 --template-url";
    assert_stops(&format!("{link} https://vendor.example/template.yaml"), 2, "LINK_TEMPLATE_URL");
    assert_stops(&format!("{link} https://a.s3.amazonaws.com/t --stack-name 1"), 2, "LINK_STACK_NAME");
    for region in ["mars-1", "xx", "eu-west", "us-east-1a", "eu--1"] {
        let link = format!("setup link --region {region} --template-url https://a.s3.amazonaws.com/t");
        assert_stops(&link, 2, "REGION_UNKNOWN");
        assert_stops(&format!("preflight --region {region}"), 2, "REGION_UNKNOWN");
    }
    let long = format!("--set NoticeUrl=https://vendor.example/{} --set ExternalId={}", "%20".repeat(330), "/".repeat(1_224));
    assert_stops(&format!("{link} https://a.s3.amazonaws.com/t {long}"), 3, "LINK_TOO_LONG");
    // Every pack there is.
    let all =
        json("template --local-code")["template"].as_str().map(|text| serde_json::from_str::<Value>(text).unwrap()).unwrap();
    let parameters = all["Parameters"].as_object().unwrap().iter().filter(|(name, _)| name.starts_with("Pack"));
    let on = parameters.map(|(name, one)| {
        format!("--set {name}={}", one["AllowedValues"].as_array().unwrap().last().unwrap().as_str().unwrap())
    });
    let on = format!("{} {VENDOR}", on.collect::<Vec<_>>().join(" "));
    assert_stops(&format!("setup policies {ACCOUNT} {on}"), 3, "MANAGED_POLICIES_LIMIT");
    assert_stops(&format!("setup script {ACCOUNT} {on}"), 3, "MANAGED_POLICIES_LIMIT");
    assert_stops(&format!("setup guide {ACCOUNT} {on}"), 3, "MANAGED_POLICIES_LIMIT");
    assert_stops(&format!("setup policies {ACCOUNT} {on} --inline"), 3, "POLICY_TOO_LARGE");
    assert_stops(&format!("template --local-code --inline {on}"), 3, "TEMPLATE_TOO_LARGE");
    // With a higher quota, or combined, they fit.
    assert_eq!(json(&format!("setup policies {ACCOUNT} {on} --managed-policies-quota 20"))["notes"].as_array().unwrap().len(), 1);
    let combined = json(&format!("setup policies {ACCOUNT} {on} --combined"));
    assert!(combined["policies"].as_array().unwrap().len() < 10);
    for arguments in [
        "setup policies",
        "setup link --region eu-west-1",
        "setup policies --account 12",
        "setup policies --account 111122223333 --managed-policies-quota 21",
        "setup policies --account 111122223333 --set x",
        "setup policies --account 111122223333 --prefix x",
        "setup script --account 111122223333 --user --existing-role x",
    ] {
        let output = hawser(&arguments.split_whitespace().collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{arguments}");
    }
}

/// A launch link may carry its token; nothing else shows one, an error least of all (HW-W2).
#[test]
fn a_token_is_in_no_text_but_the_link() {
    let token = "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==";
    let with = format!("--set LaunchToken={token}");
    for arguments in [
        format!("setup policies {ACCOUNT}"),
        format!("setup script {ACCOUNT} {VENDOR}"),
        format!("setup guide {ACCOUNT} {VENDOR}"),
        format!("setup trust {VENDOR}"),
        "setup terraform".to_owned(),
        "template --local-code --inline".to_owned(),
    ] {
        let text = text(&format!("{arguments} {with}"));
        assert!(!text.contains("c2VjcmV0"), "{arguments}");
    }
    let wrong = hawser(&["setup", "trust", "--set", &format!("LaunchToken={token}!")]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(!complained(&wrong).contains("c2VjcmV0"), "{}", complained(&wrong));
}

/// `hawser template | head -1`: who stops reading is told nothing, and the exit code is that of a program which SIGPIPE ended.
#[test]
fn output_may_be_closed_early() {
    for arguments in PRINTING {
        // Closed before the program starts: a short output would fit a pipe that is closed later.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = started(arguments, Stdio::from(writer)).wait_with_output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(!said.contains("error") && !said.contains("panicked"), "{arguments}: {said}");
        assert_eq!(done.status.code(), Some(141), "{arguments}");
    }
}

/// What prints: each form of output, and each way of printing.
const PRINTING: [&str; 8] = [
    "--help",
    "profiles",
    "profiles --output json",
    "template --local-code --profile cost-insights",
    "setup policies --account 111122223333",
    "setup trust --set VendorAccountId=999988887777 --set ExternalId=customer-4711",
    "setup terraform",
    "plan --event events/billing-export-create.json --account docs/examples/account-with-reports.json",
];

fn started(arguments: &str, output: Stdio) -> std::process::Child {
    support::hawser().args(arguments.split(' ')).stdout(output).stderr(Stdio::piped()).spawn().unwrap()
}

/// A file on a full disk is cut short, and the exit code must say so.
#[test]
fn output_that_cannot_be_written_is_an_error() {
    for arguments in PRINTING {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let done = started(arguments, full.into()).wait_with_output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{arguments}: {said}");
        assert!(said.contains("error: OUTPUT_FAILED: the output is not whole: No space left on device"), "{arguments}: {said}");
    }
    // With nowhere to complain, a command still ends with its own exit code.
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    for (arguments, exit) in [("profiles nosuch", 2), ("--nosuch", 2), ("profiles", 1)] {
        let mut command = support::hawser();
        let done = command.args(arguments.split(' ')).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(done.code(), Some(exit), "{arguments}");
    }
}

#[test]
fn a_wrong_command_line_is_json_for_programs() {
    for arguments in ["setup policies --output json", "--output=json setup polices", "profiles a b --output json"] {
        let output = hawser(&arguments.split(' ').collect::<Vec<_>>());
        let said: Value = serde_json::from_str(printed(&output)).unwrap();
        assert_eq!((output.status.code(), said["code"].as_str()), (Some(2), Some("COMMAND_LINE")), "{said}");
        assert!(!said["reason"].as_str().unwrap().contains("COMMAND_LINE"), "{said}");
    }
    let reason = hawser(&["profiles", "nosuch", "--output", "json"]);
    let said: Value = serde_json::from_str(printed(&reason)).unwrap();
    assert!(!said["reason"].as_str().unwrap().contains("PROFILE_UNKNOWN"), "the code stands beside it: {said}");
}

/// The schedule's event has a plan too: it changes nothing.
#[test]
fn the_plan_of_a_delivery_check_changes_nothing() {
    let output = plan("delivery-watch", "account-connected", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    let text = printed(&output);
    assert!(text.starts_with("Delivery check of Connection\n  decision      nothing is created, changed or removed\n"), "{text}");
    assert!(text.contains("notify the vendor") && !text.contains("physical id"), "{text}");
}

/// What outlives a stack, without a look at AWS: of the packs that write, or of all.
#[test]
fn what_is_left_is_listed_for_the_settings_that_are_given() {
    let all = text("disconnect --list-left");
    assert!(all.contains("users with their access keys") && all.contains("instances that go on running"), "{all}");
    let some = text("disconnect --list-left --set PackCloudIam=ReadWrite --set ManagedUsersPath=/people/");
    assert!(some.contains("aws iam list-users --path-prefix /people/") && !some.contains("instances"), "{some}");
    let none = text("disconnect --list-left --set PackEc2=ReadOnly --set BillingKind=None");
    assert_eq!(none, "");
    let json: serde_json::Value = serde_json::from_str(&text("disconnect --list-left --output json")).unwrap();
    assert_eq!(json["left"][1]["pack"], "cloud-iam");
}

/// A link never has its token from an argument, which other users of a machine see.
#[test]
fn a_link_takes_its_token_from_a_file_and_names_another_region() {
    let file = empty_folder("link-token").join("token.txt");
    let token = "whsec_c2VjcmV0LXRoYXQtbXVzdC1uZXZlci1iZS1zZWVuLTEyMw==";
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let link = "setup link --region eu-west-1 --set ExternalId=customer-4711";
    let url = "--template-url https://acme-onboarding-eu-west-1.s3.eu-west-1.amazonaws.com/t.yaml";
    let made = text(&format!("{link} {url} --launch-token-file {}", file.display()));
    assert!(made.contains("param_LaunchToken=whsec_") && !made.contains("Note: "), "{made}");
    let words = format!("{link} {url} --set LaunchToken={token}");
    let refused = hawser(&words.split_whitespace().collect::<Vec<_>>());
    assert_eq!(refused.status.code(), Some(2));
    assert!(complained(&refused).contains("TOKEN_IN_ARGUMENTS") && !complained(&refused).contains("c2VjcmV0"));
    let elsewhere = text(&format!("{link} {}", url.replace("s3.eu-west-1", "s3.us-east-1")));
    assert!(elsewhere.contains("Note: the template is in us-east-1 and the stack would be in eu-west-1"), "{elsewhere}");
    let organization = text(&format!(
        "{link} {url} --organization --set OrganizationalUnitIds=ou-abcd-12345678 --set MemberTemplateUrl=https://b.s3.eu-west-1.amazonaws.com/t.yaml"
    ));
    assert!(organization.contains("param_OrganizationalUnitIds=ou-abcd-12345678"), "{organization}");
}
