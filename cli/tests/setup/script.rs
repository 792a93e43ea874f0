//! The script of `hawser setup script` as bash runs it, with an AWS CLI that only notes what it is asked.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::support::{empty_folder, hawser};

/// Nothing is there but what a test says; `FAILING` is a call that AWS refuses.
const AWS: &str = r#"#!/usr/bin/env bash
printf '%s\n' "$*" >>"$HERE/calls"
if [[ "$1 $2" == "$FAILING" ]]; then
  cat >/dev/null
  echo 'An error occurred (AccessDenied) when calling it' >&2
  exit 254
fi
case "$1 $2 $*" in
  'sts get-caller-identity'*) echo "$SIGNED_IN" ;;
  'iam list-access-keys'*) [[ ! -e $HERE/keys ]] || paste -s "$HERE/keys" ;;
  'iam create-access-key'*)
    echo AKIANEW >>"$HERE/keys"
    echo '{"AccessKeyId": "AKIANEW", "SecretAccessKey": "the-secret-part"}'
    ;;
  'secretsmanager put-secret-value'*) cat >"$HERE/stored" ;;
  *'--query Role.Arn'*) echo arn:aws:iam::111122223333:role/hawser ;;
  *'--query ARN'*) echo arn:aws:secretsmanager:us-east-1:111122223333:secret:hawser-access-key-AbCdEf ;;
  'iam get-'* | *' describe-'*)
    if [[ -e $HERE/there ]]; then cat "$HERE/there"; else
      echo 'An error occurred (NoSuchEntity) when calling it' >&2
      exit 254
    fi
    ;;
esac
"#;

struct Shell {
    folder: PathBuf,
    script: String,
}

impl Shell {
    fn new(name: &str, more: &[&str]) -> Self {
        let folder = empty_folder(&format!("script-{name}"));
        fs::write(folder.join("aws"), AWS).unwrap();
        fs::set_permissions(folder.join("aws"), fs::Permissions::from_mode(0o755)).unwrap();
        let given =
            ["--set", "VendorAccountId=999988887777", "--set", "ExternalId=customer-4711", "--set", "PackSecurityAudit=None"];
        let arguments = [&["setup", "script", "--account", "111122223333"], &given[..], more].concat();
        let made = hawser().args(arguments).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { folder, script: String::from_utf8(made.stdout).unwrap() }
    }

    fn run(&self, what: &str, account: &str, failing: &str) -> Output {
        let path = self.folder.join("connect.sh");
        fs::write(&path, &self.script).unwrap();
        fs::remove_file(self.file("calls")).ok();
        let folders = format!("{}:/usr/bin:/bin", self.folder.display());
        let mut bash = Command::new("bash");
        bash.arg(&path).args(what.split_whitespace()).env_clear().env("PATH", folders).env("HERE", &self.folder);
        bash.env("SIGNED_IN", account).env("FAILING", failing).output().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What was asked of AWS, one call a line; documents take more.
    fn calls(&self) -> String {
        fs::read_to_string(self.file("calls")).unwrap()
    }

    fn changed(&self) -> bool {
        ["create-", "put-", "delete-", "attach-", "detach-", "update-", "tag-", "restore-"]
            .iter()
            .any(|verb| self.calls().contains(&format!(" {verb}")))
    }
}

fn exit(output: &Output) -> Option<i32> {
    output.status.code()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const HERE: &str = "111122223333";

#[test]
fn a_new_account_gets_role_and_policies_and_only_the_roles_arn_is_printed() {
    let shell = Shell::new("new", &["--set", "PermissionsBoundaryArn=arn:aws:iam::111122223333:policy/limit"]);
    let output = shell.run("", HERE, "");
    assert_eq!(
        (exit(&output), String::from_utf8_lossy(&output.stdout).as_ref()),
        (Some(0), "arn:aws:iam::111122223333:role/hawser\n"),
        "{}",
        said(&output)
    );
    let calls = shell.calls();
    assert!(calls.contains("iam create-role --role-name hawser --path / "), "{calls}");
    assert!(calls.contains("--permissions-boundary arn:aws:iam::111122223333:policy/limit"), "{calls}");
    assert!(
        calls.contains("iam attach-role-policy --role-name hawser --policy-arn arn:aws:iam::111122223333:policy/hawser-billing")
    );
    assert!(!calls.contains("user"), "{calls}");
    assert_eq!(exit(&shell.run("no-such-word", HERE, "")), Some(2));
    assert_eq!(exit(&shell.run("rotate", HERE, "")), Some(3));
}

/// HW-P4: a pack that is off by now does not stay granted, and is not in the way of undo.
#[test]
fn what_an_earlier_script_granted_goes() {
    let earlier = Shell::new("earlier", &["--set", "PackEc2=ReadOnly"]);
    let shell = Shell::new("later", &[]);
    let mark = |shell: &Shell| {
        shell.script.lines().find_map(|line| line.strip_prefix("CONNECTION=")).unwrap().trim_matches('\'').to_owned()
    };
    assert_eq!(mark(&earlier), mark(&shell));
    fs::write(shell.file("there"), mark(&shell) + "\n").unwrap();
    let ec2 = "--policy-arn arn:aws:iam::111122223333:policy/hawser-ec2";
    for what in ["", "undo"] {
        let output = shell.run(what, HERE, "");
        assert_eq!(exit(&output), Some(0), "{}", said(&output));
        let calls = shell.calls();
        assert!(calls.contains(&format!("iam detach-role-policy --role-name hawser {ec2}")), "{what}: {calls}");
        assert!(calls.contains(&format!("iam delete-policy {ec2}")), "{what}: {calls}");
        assert_eq!(what.is_empty(), !calls.contains("iam delete-role "), "{what}: {calls}");
    }
}

#[test]
fn help_asks_nothing_of_aws() {
    for (name, more, offered) in [("help-role", &[][..], "[connect|undo]"), ("help-user", &["--user"], "[connect|rotate|undo]")] {
        let shell = Shell::new(name, more);
        for (what, expected) in [("--help", 0), ("-h", 0), ("help", 0), ("nosuch", 2)] {
            let output = shell.run(what, HERE, "");
            let text = String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output);
            assert_eq!(exit(&output), Some(expected), "{what}");
            assert!(text.contains(offered), "{what}: {text}");
            assert!(!shell.file("calls").exists(), "{what}");
        }
    }
}

#[test]
fn another_account_is_not_touched() {
    let shell = Shell::new("another", &[]);
    for what in ["", "undo"] {
        let output = shell.run(what, "222222222222", "");
        assert_eq!(exit(&output), Some(3));
        assert!(said(&output).contains("of account 222222222222"), "{}", said(&output));
        assert!(!shell.changed(), "{}", shell.calls());
    }
}

#[test]
fn what_is_there_and_is_not_this_connections_is_not_touched() {
    for (method, more) in [("role", vec![]), ("user", vec!["--user"])] {
        let shell = Shell::new(&format!("foreign-{method}"), &more);
        fs::write(shell.file("there"), "another-connection\n").unwrap();
        for what in ["", "undo"] {
            let output = shell.run(what, HERE, "");
            assert_eq!(exit(&output), Some(3), "{method} {what}: {}", said(&output));
            assert!(said(&output).contains("is not this connection's"), "{}", said(&output));
            assert!(!shell.changed(), "{method} {what}: {}", shell.calls());
        }
    }
}

/// Not allowed to look is not the same as not there.
#[test]
fn an_error_of_aws_ends_the_script() {
    let shell = Shell::new("denied", &["--user"]);
    for call in [
        "iam get-role",
        "iam get-user",
        "iam get-policy",
        "iam create-policy",
        "secretsmanager describe-secret",
        "iam list-access-keys",
    ] {
        let output = shell.run("", HERE, call);
        assert_ne!(exit(&output), Some(0), "{call}");
        assert!(said(&output).contains("AccessDenied"), "{call}: {}", said(&output));
        assert!(!shell.calls().contains("create-access-key"), "{call}");
    }
    for call in ["iam get-policy", "iam get-user", "iam get-role"] {
        let output = shell.run("undo", HERE, call);
        assert_ne!(exit(&output), Some(0), "{call}");
        assert!(!shell.calls().contains("delete-role"), "{call}");
    }
}

/// HW-P6.
#[test]
fn the_secret_key_goes_from_iam_to_secrets_manager_and_nowhere_else() {
    let shell = Shell::new("key", &["--user"]);
    let output = shell.run("", HERE, "");
    assert_eq!(exit(&output), Some(0), "{}", said(&output));
    let stored = fs::read_to_string(shell.file("stored")).unwrap();
    assert!(stored.contains("the-secret-part"), "{stored}");
    let everywhere_else = format!("{}{}{}", shell.calls(), said(&output), String::from_utf8_lossy(&output.stdout));
    assert!(!everywhere_else.contains("the-secret-part"), "{everywhere_else}");
    assert!(
        shell
            .calls()
            .contains("iam attach-user-policy --user-name hawser --policy-arn arn:aws:iam::111122223333:policy/hawser-billing")
    );
    assert!(shell.calls().contains(
        "iam attach-role-policy --role-name hawser --policy-arn arn:aws:iam::111122223333:policy/hawser-read-access-key"
    ));
    assert_only_these(&shell.folder, &["aws", "calls", "connect.sh", "keys", "stored"]);
}

fn assert_only_these(folder: &Path, expected: &[&str]) {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, expected, "no file is left behind");
}

/// HW-P6: a key that could not be stored would be one that nobody has.
#[test]
fn a_key_that_cannot_be_stored_is_removed_and_older_ones_stay() {
    let shell = Shell::new("lost", &["--user"]);
    fs::write(shell.file("keys"), "AKIAOLD\n").unwrap();
    let output = shell.run("rotate", HERE, "secretsmanager put-secret-value");
    assert_eq!(exit(&output), Some(3), "{}", said(&output));
    assert!(said(&output).contains("so it was removed"), "{}", said(&output));
    let removed: Vec<String> =
        shell.calls().lines().filter(|call| call.contains("delete-access-key")).map(str::to_owned).collect();
    assert_eq!(removed, ["iam delete-access-key --user-name hawser --access-key-id AKIANEW --output text"]);
    // With two keys there is no room for another.
    fs::write(shell.file("keys"), "AKIAOLD\nAKIANEW\n").unwrap();
    let output = shell.run("rotate", HERE, "");
    assert_eq!(exit(&output), Some(3));
    assert!(!shell.calls().contains("create-access-key"), "{}", shell.calls());
}
