//! The template as data: what is read, what is refused, and what CloudFormation would make of it.

use std::{collections::BTreeMap, fs};

use hawser_cli::{
    error::CommandError,
    profile::Profile,
    template::{Mode, ResolveContext, Template, references},
};
use serde_json::{Value, json};

use crate::{
    parameters,
    support::{root, template_of},
};

fn context(pairs: &[(&str, &str)]) -> ResolveContext {
    ResolveContext { partial: true, ..crate::context(pairs) }
}

/// One output of a template with these conditions.
fn output(value: &str, with: &ResolveContext) -> Result<Option<Value>, CommandError> {
    let text = format!(
        r#"
Parameters:
  Word: {{ Type: String, Default: none }}
  Later: {{ Type: String }}
  Many: {{ Type: CommaDelimitedList, Default: "a, b" }}
Conditions:
  IsNone: !Equals [!Ref Word, none]
  Both: !And [!Condition IsNone, !Equals [!Ref AWS::Partition, aws]]
  Either: !Or [!Not [!Condition IsNone], !Equals [!Ref Word, other]]
Resources:
  Thing: {{ Type: "AWS::Thing" }}
Outputs:
  Given: {{ Value: {value} }}
"#
    );
    let resolved = template_of(&text).resolve(with)?;
    Ok(resolved.outputs()["Given"].get("Value").cloned())
}

#[test]
fn intrinsic_functions_give_what_cloudformation_gives() {
    for (value, expected) in [
        ("!Ref Word", json!("none")),
        ("!Ref Many", json!(["a", "b"])),
        ("!Sub \"${AWS::Partition}:${Word}:${!Word}\"", json!("aws:none:${Word}")),
        ("!Sub [\"${It}/${Word}\", {It: !Join [\"-\", !Ref Many]}]", json!("a-b/none")),
        ("!Select [1, !Split [\"/\", \"x/y\"]]", json!("y")),
        ("!If [Both, yes it is, !Ref AWS::NoValue]", json!("yes it is")),
        ("[1, !If [Either, 2, !Ref AWS::NoValue], 3]", json!([1, 3])),
        ("{A: !If [Either, 2, !Ref AWS::NoValue]}", json!({})),
        ("!Ref AWS::URLSuffix", json!("amazonaws.com")),
        // What is known later stays, with what is known now filled in.
        ("!GetAtt Thing.Arn.Deep", json!({ "Fn::GetAtt": ["Thing", "Arn.Deep"] })),
        ("!Sub \"${Word}-${Thing}-${!Word}\"", json!({ "Fn::Sub": "none-${Thing}-${!Word}" })),
        (
            "!Sub [\"${Word}-${It}\", {It: !GetAtt Thing.Arn}]",
            json!({ "Fn::Sub": ["none-${It}", { "It": { "Fn::GetAtt": ["Thing", "Arn"] } }] }),
        ),
        ("!Select [0, !Split [\"|\", !Ref Later]]", json!({ "Fn::Select": [0, { "Fn::Split": ["|", { "Ref": "Later" }] }] })),
    ] {
        assert_eq!(output(value, &context(&[])).unwrap().unwrap(), expected, "{value}");
    }
    let mut known = context(&[("Word", "x"), ("Later", "one|two")]);
    known.attributes.insert(("Thing".to_owned(), "Arn".to_owned()), "arn:thing".to_owned());
    known.references.insert("Thing".to_owned(), "thing-1".to_owned());
    let all = "!Sub [\"${It} ${Thing} ${Later}\", {It: !GetAtt Thing.Arn}]";
    assert_eq!(output(all, &known).unwrap().unwrap(), json!("arn:thing thing-1 one|two"));
    assert_eq!(output("!If [Either, 1, 2]", &known).unwrap().unwrap(), json!(1));
}

#[test]
fn what_is_not_known_is_an_error_and_not_a_guess() {
    for (value, why) in [
        ("!Ref Nothing", "`Nothing` is neither a parameter nor a resource"),
        ("!GetAtt Nothing.Arn", "`Nothing.Arn` refers to a resource"),
        ("!If [Nothing, 1, 2]", "it has no condition `Nothing`"),
        ("!FindInMap [a, b, c]", "does not take"),
        ("!Select [7, !Ref Many]", "`Fn::Select` does not take"),
        ("!Base64 [a, b]", "`Fn::Base64` is not known here"),
        ("!Sub \"${Many}\"", "`${Many}` in `Fn::Sub` is not a string"),
    ] {
        let error = output(value, &context(&[])).unwrap_err();
        assert_eq!(error.code(), "TEMPLATE_INVALID", "{value}");
        assert!(error.to_string().contains(why), "{value}: {error}");
    }
    let missing = output("x", &ResolveContext { partial: false, ..context(&[]) }).unwrap_err();
    assert_eq!(missing.to_string(), "PARAMETER_MISSING: `Later` is not given and has no default. Pass it with --set NAME=VALUE.");
    let circle = "Conditions: { A: !Condition B, B: !Condition A }\nResources: { R: { Type: T, Condition: A } }";
    let error = template_of(circle).resolve(&context(&[])).unwrap_err();
    assert!(error.to_string().contains("cycle"), "{error}");
    assert_eq!(Template::read("[").unwrap_err().code(), "TEMPLATE_INVALID");
    assert_eq!(Template::read("{}").unwrap_err().code(), "TEMPLATE_INVALID");
}

#[test]
fn parameters_are_checked_as_cloudformation_checks_them() {
    let template = Template::ours();
    for (name, value, expected) in [
        ("PackEC2", "ReadOnly", "PARAMETER_UNKNOWN: the template has no parameter `PackEC2` (similar: `PackEc2`)."),
        ("Colour", "blue", "PARAMETER_UNKNOWN: the template has no parameter `Colour`"),
        ("PackEc2", "Write", "PARAMETER_INVALID: `PackEc2` is `Write` but must be one of `None`, `ReadOnly`, `ReadWrite`"),
        ("VendorAccountId", "12", "PARAMETER_INVALID: `VendorAccountId` is `12` but must be a 12-digit AWS account ID"),
        ("AccessKeySerial", "0", "PARAMETER_INVALID: `AccessKeySerial` is `0` but must be at least 1"),
        ("AccessKeySerial", "two", "PARAMETER_INVALID: `AccessKeySerial` is `two` but must be a number"),
        ("Regions", "eu-west-1,nowhere", "PARAMETER_INVALID: `Regions` is `eu-west-1,nowhere` but must be Region codes"),
        ("LaunchToken", "whsec_short", "PARAMETER_INVALID: `LaunchToken` is `whsec_…` but must be the token"),
        ("ExistingPrefix", "x", "RULE_FAILED: ExistingPrefix is a prefix in ExistingBucket, so ExistingBucket is required"),
    ] {
        let error = template.check(&parameters(&[(name, value)])).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{name}={value}: {error}");
    }
    let long = "a".repeat(65);
    assert!(template.check(&parameters(&[("VendorName", &long)])).is_err());
    for (name, value) in [("Regions", ""), ("Regions", "eu-west-1,us-east-1"), ("PackEc2", "ReadWrite"), ("AccessKeySerial", "2")]
    {
        template.check(&parameters(&[(name, value)])).unwrap();
    }
}

#[test]
fn the_template_is_read_whole_and_in_its_order() {
    let template = Template::ours();
    let parameters = template.parameters();
    assert_eq!(parameters[0].name, "VendorName");
    assert_eq!((parameters[0].label.as_str(), parameters[0].group.as_str()), ("Vendor", "Vendor (provided by the vendor)"));
    for parameter in &parameters {
        assert!(
            !parameter.description.is_empty() && !parameter.group.is_empty() && parameter.label != parameter.name,
            "{parameter:?}"
        );
        if let Some(default) = &parameter.default {
            parameter.check(default).unwrap();
        }
    }
    let packs = template.packs();
    assert!(packs.len() >= 2);
    for pack in &packs {
        assert_eq!(pack.logical_id, format!("{}Policy", pack.parameter));
        assert!(pack.modes.contains(&Mode::ReadOnly) && !pack.statements.is_empty() && !pack.title.is_empty(), "{}", pack.name);
        for statement in &pack.statements {
            assert!(!statement.why.is_empty() && !statement.actions.is_empty(), "{}: {}", pack.name, statement.sid);
            assert!(!statement.conditions.contains(&format!("{}Writes", pack.parameter)), "{}: {}", pack.name, statement.sid);
        }
    }
}

/// Each pack alone, in each of its modes: the statements that are read are the statements that are resolved.
#[test]
fn what_a_pack_grants_in_a_mode_is_what_cloudformation_would_make() {
    let template = Template::ours();
    for pack in template.packs() {
        for mode in &pack.modes {
            let mut given: Vec<(&str, &str)> = vec![("PackBilling", "None"), ("PackSecurityAudit", "None")];
            given.retain(|(name, _)| *name != pack.parameter);
            given.push((&pack.parameter, mode.as_str()));
            let resolved = template.resolve(&context(&given)).unwrap();
            let [(name, document)] = &resolved.policies()[..] else { panic!("{}: one policy", pack.name) };
            assert_eq!(name, &pack.name);
            let sids: Vec<&str> = document["Statement"].as_array().unwrap().iter().map(|s| s["Sid"].as_str().unwrap()).collect();
            let holds = |condition: &String| match condition.strip_prefix('!') {
                Some(opposite) => resolved.condition(opposite) == Some(false),
                None => resolved.condition(condition) == Some(true),
            };
            let expected: Vec<&str> = pack
                .statements
                .iter()
                .filter(|statement| statement.mode <= *mode && statement.conditions.iter().all(holds))
                .map(|statement| statement.sid.as_str())
                .collect();
            assert_eq!(sids, expected, "{} {}", pack.name, mode.as_str());
            let open = references(document);
            assert!(
                open.iter().all(|name| name.starts_with("BillingExport.") || !name.contains("::")),
                "{}: {open:?}",
                pack.name
            );
        }
    }
}

#[test]
fn statements_of_a_mode_are_found_by_their_conditions() {
    let text = r#"
Parameters:
  PackX: { Type: String, Default: None, AllowedValues: [None, ReadOnly, ReadWrite] }
  Zone: { Type: String, Default: "" }
Conditions:
  PackX: !Not [!Equals [!Ref PackX, None]]
  PackXWrites: !Equals [!Ref PackX, ReadWrite]
  HasZone: !Not [!Equals [!Ref Zone, ""]]
  WritesZone: !And [!Condition PackXWrites, !Condition HasZone]
Resources:
  PackXPolicy:
    Type: AWS::IAM::ManagedPolicy
    Condition: PackX
    Metadata: { Pack: { Name: x, Title: X, Purpose: X., Why: { Look: l, Change: c, Zone: z, NoZone: n } } }
    Properties:
      PolicyDocument:
        Statement:
          - { Sid: Look, Effect: Allow, Action: x:Look, Resource: "*" }
          - !If [PackXWrites, { Sid: Change, Effect: Allow, Action: [x:A, x:B], Resource: "*" }, !Ref AWS::NoValue]
          - !If [WritesZone, { Sid: Zone, Effect: Allow, Action: x:Z, Resource: !Ref Zone }, !Ref AWS::NoValue]
          - !If [HasZone, !Ref AWS::NoValue, { Sid: NoZone, Effect: Deny, Action: !If [HasZone, x:N, [x:O, x:P]], Resource: "*" }]
"#;
    let template = template_of(text);
    let [pack] = &template.packs()[..] else { panic!("one pack") };
    let read: Vec<(&str, Mode, Vec<&str>)> =
        pack.statements.iter().map(|s| (s.sid.as_str(), s.mode, s.conditions.iter().map(String::as_str).collect())).collect();
    assert_eq!(
        read,
        [
            ("Look", Mode::ReadOnly, vec![]),
            ("Change", Mode::ReadWrite, vec![]),
            ("Zone", Mode::ReadWrite, vec!["WritesZone"]),
            ("NoZone", Mode::ReadOnly, vec!["!HasZone"]),
        ]
    );
    assert_eq!(pack.statements[3].actions, ["x:N", "x:O", "x:P"]);
    assert_eq!((pack.default, pack.modes.len()), (None, 2));
}

/// What is decided is gone, and what depends on it and on more is still open.
#[test]
fn without_a_pack_the_rest_is_as_it_was() {
    let text = r#"
Metadata:
  AWS::CloudFormation::Interface:
    ParameterGroups: [{ Label: { default: Packs }, Parameters: [PackX] }, { Label: { default: Rest }, Parameters: [Word] }]
    ParameterLabels: { PackX: { default: X }, Word: { default: Word } }
Parameters:
  PackX: { Type: String, Default: None, AllowedValues: [None, ReadOnly] }
  Word: { Type: String, Default: a }
Conditions:
  PackX: !Not [!Equals [!Ref PackX, None]]
  NoX: !Not [!Condition PackX]
  Word: !Equals [!Ref Word, a]
  Both: !And [!Condition PackX, !Condition Word]
  Either: !Or [!Condition PackX, !Condition Word]
  NoXAndWord: !And [!Condition NoX, !Condition Word]
Resources:
  PackXPolicy: { Type: "AWS::IAM::ManagedPolicy", Condition: PackX, Metadata: { Pack: { Name: x } } }
  WithoutX: { Type: T, Condition: NoX, Properties: { Tells: !Sub "${PackX} ${Word}", List: [1, !If [PackX, 2, !Ref AWS::NoValue]] } }
  Never: { Type: T, Condition: Both }
  IfEither: { Type: T, Condition: Either }
  IfBoth: { Type: T, Condition: NoXAndWord, Properties: { It: !If [NoX, !If [Word, yes, no], no] } }
"#;
    let template = template_of(text);
    let narrow = template.without_disabled_packs(&BTreeMap::new());
    let names = |section: &str| narrow.json()[section].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names("Parameters"), ["Word"]);
    assert_eq!(names("Conditions"), ["Either", "NoXAndWord", "Word"]);
    assert_eq!(narrow.resource_names(), ["WithoutX", "IfEither", "IfBoth"]);
    let without = &narrow.json()["Resources"]["WithoutX"];
    assert_eq!(*without, json!({ "Type": "T", "Properties": { "Tells": { "Fn::Sub": "None ${Word}" }, "List": [1] } }));
    let interface = &narrow.json()["Metadata"]["AWS::CloudFormation::Interface"];
    assert_eq!(interface["ParameterLabels"], json!({ "Word": { "default": "Word" } }));
    assert_eq!(interface["ParameterGroups"].as_array().unwrap().len(), 1);
    assert!(!narrow.json().to_string().contains("PackX"), "{}", narrow.json());
    for word in ["a", "b"] {
        let with = context(&[("Word", word)]);
        let (whole, narrow) = (template.resolve(&with).unwrap(), narrow.resolve(&with).unwrap());
        assert_eq!(whole.resources(), narrow.resources(), "{word}");
    }
    // A pack that is on stays, with all that it has.
    assert_eq!(template.without_disabled_packs(&parameters(&[("PackX", "ReadOnly")])).json(), template.json());
}

#[test]
fn a_connection_is_named_in_letters_of_any_script() {
    let template = Template::ours();
    let parameter = template.parameters().into_iter().find(|known| known.name == "ConnectionName").unwrap();
    for name in ["AWS account", "Größe & Söhne", "Łódź (prod)", "日本 1", "Ελλάδα_2", &"é".repeat(64)] {
        parameter.check(name).unwrap();
    }
    // Too long; a blank at an end; markup; what shows nothing, and what turns the direction of writing.
    let refused = ["", " a", "a ", "a<b", "a\"", "$a", "a\u{200b}b", "a\u{202e}b", "a\u{2028}b", "a\tb", &"é".repeat(65)];
    for name in refused {
        assert_eq!(parameter.check(name).unwrap_err().code(), "PARAMETER_INVALID", "{name:?}");
    }
}

/// What a launch link could carry: administrators' rights, and text for a page or a module.
#[test]
fn parameters_that_hand_out_an_administrators_rights_are_refused() {
    let template = Template::ours();
    let of_aws = |name: &str| format!("arn:aws:iam::aws:policy/{name}");
    let role = "ExistingRoleName";
    for (name, value, more, is_taken) in [
        ("ManagedUsersBoundaryArn", of_aws("AdministratorAccess"), None, false),
        ("ManagedUsersBoundaryArn", of_aws("AdministratorAccess-Amplify"), None, false),
        ("ManagedUsersBoundaryArn", of_aws("IAMFullAccess"), None, false),
        ("ManagedUsersBoundaryArn", of_aws("PowerUserAccess"), None, false),
        ("ManagedUsersBoundaryArn", of_aws("job-function/SystemAdministrator"), None, false),
        ("ManagedUsersBoundaryArn", "arn:aws-us-gov:iam::aws:policy/AdministratorAccess".to_owned(), None, false),
        ("ManagedUsersBoundaryArn", of_aws("job-function/ViewOnlyAccess"), None, true),
        ("ManagedUsersBoundaryArn", of_aws("ReadOnlyAccess"), None, true),
        ("ManagedUsersBoundaryArn", of_aws("SecurityAudit"), None, true),
        ("ManagedUsersBoundaryArn", "arn:aws:iam::111122223333:policy/people".to_owned(), None, true),
        ("PermissionsBoundaryArn", of_aws("x`<script>"), None, false),
        ("PermissionsBoundaryArn", of_aws("\u{e000}1+1\u{e001}"), None, false),
        ("PermissionsBoundaryArn", "arn:aws:iam::111122223333:policy/team/limit".to_owned(), None, true),
        (role, "OrganizationAccountAccessRole".to_owned(), None, false),
        (role, "AWSControlTowerExecution".to_owned(), None, false),
        (role, "our-vendor-role".to_owned(), None, true),
        ("RecordName", "engine.example.com".to_owned(), None, false),
        ("RecordName", "engine.example.com".to_owned(), Some(("HostedZoneId", "Z0123456789")), true),
        ("RecordName", "*.example.com".to_owned(), Some(("HostedZoneId", "Z0123456789")), false),
    ] {
        let pairs: Vec<(&str, &str)> = std::iter::once((name, value.as_str())).chain(more).collect();
        assert_eq!(template.resolve(&context(&pairs)).is_ok(), is_taken, "{name}={value}");
    }
}

#[test]
fn every_file_of_profiles_is_embedded_under_its_name_and_fits_the_template() {
    let template = Template::ours();
    let mut files: Vec<String> = fs::read_dir(root().join("profiles"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut embedded: Vec<String> = Profile::all().into_iter().map(|profile| profile.name).collect();
    files.sort();
    embedded.sort();
    assert_eq!(files, embedded);
    for profile in Profile::all() {
        template.resolve(&ResolveContext { parameters: profile.parameters.clone(), ..context(&[]) }).unwrap();
        assert_eq!(Profile::find(&profile.name).unwrap(), profile);
    }
    assert_eq!(Profile::find("nope").unwrap_err().code(), "PROFILE_UNKNOWN");
    assert_eq!(Profile::read("name = 1").unwrap_err().code(), "PROFILE_INVALID");
}
