//! Whose credentials `hawser` signs with: an imitated AWS on the wire says which key each request came with.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::json;

use crate::{
    connect_sdk::WHO,
    support::{self, empty_folder},
};

/// Answers every request as a role's session, and keeps the access keys that requests were signed with.
struct Aws {
    url: String,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Aws {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&keys);
        thread::spawn(move || {
            for connection in listener.incoming() {
                kept.lock().unwrap().extend(answer(&connection.unwrap()));
            }
        });
        Self { url, keys }
    }

    /// Runs `hawser preflight` in a folder with the configuration of the AWS CLI: what it said, and the key that it first signed with.
    fn preflight(&self, home: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Output, Option<String>) {
        self.keys.lock().unwrap().clear();
        let mut command = support::hawser();
        command.env("HOME", home).env("AWS_ENDPOINT_URL", &self.url).envs(environment.iter().copied());
        let output = command.arg("preflight").args(arguments).output().unwrap();
        (output, self.keys.lock().unwrap().first().cloned())
    }
}

/// One request and its answer; the access key of its signature.
fn answer(connection: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(connection);
    let (mut key, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => key = value.split_once("Credential=").map(|(_, rest)| rest.split('/').next().unwrap().to_owned()),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    let (status, body) = if key.is_some() { ("200 OK", WHO) } else { ("403 Forbidden", "") };
    let mut connection = connection;
    // A client may have gone away by now: it asks some things at once, and gives up those that do not matter after all.
    drop(write!(connection, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()));
    key
}

/// A home with profiles `default`, `other`, `empty` and `signed-in`, the last by `aws login`.
fn home(name: &str) -> std::path::PathBuf {
    let home = empty_folder(name);
    let session = "arn:aws:iam::111122223333:user/anna";
    fs::create_dir_all(home.join(".aws/login/cache")).unwrap();
    let keys = |key: &str| format!("aws_access_key_id = {key}\naws_secret_access_key = secret\n");
    let profiles = format!(
        "[default]\n{}[profile other]\n{}[profile empty]\nregion = eu-west-1\n[profile signed-in]\nlogin_session = {session}\n",
        keys("AKIDDEFAULT"),
        keys("AKIDOTHER")
    );
    fs::write(home.join(".aws/config"), profiles).unwrap();
    // The file's name is the SHA-256 of the session's identifier.
    let file = "824ac7ff8d76f77126bed5d43903d89e030ee3769ec7bf6bb8c5d2efa18d83c1.json";
    let token = json!({
        "accessToken": {
            "accessKeyId": "ASIASIGNEDIN", "secretAccessKey": "secret", "sessionToken": "token", "accountId": "111122223333",
            "expiresAt": "2099-01-01T00:00:00Z"
        },
        "tokenType": "urn:aws:params:oauth:token-type:access_token_sigv4", "refreshToken": "refresh", "idToken": "id",
        "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": "only new credentials need it",
    });
    fs::write(home.join(".aws/login/cache").join(file), token.to_string()).unwrap();
    home
}

/// F-58: as with the AWS CLI, `--aws-profile` goes before the environment, and a profile that is not there is an error.
#[test]
fn a_named_profile_goes_before_the_environment() {
    let (aws, home) = (Aws::start(), home("named_profile"));
    let environment = [("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let key = |arguments: &[&str], environment: &[(&str, &str)]| aws.preflight(&home, arguments, environment).1;
    assert_eq!(key(&[], &environment).as_deref(), Some("AKIDENVIRONMENT"));
    assert_eq!(key(&[], &[]).as_deref(), Some("AKIDDEFAULT"));
    for variable in ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"] {
        assert_eq!(key(&[], &[(variable, "other")]).as_deref(), Some("AKIDOTHER"), "{variable}");
    }
    for environment in [&environment[..], &[]] {
        assert_eq!(key(&["--aws-profile", "other"], environment).as_deref(), Some("AKIDOTHER"));
        assert_eq!(key(&["--aws-profile", "signed-in"], environment).as_deref(), Some("ASIASIGNEDIN"), "by `aws login`");
    }
    assert_eq!(key(&["--aws-profile", "other"], &[("AWS_PROFILE", "nosuch")]).as_deref(), Some("AKIDOTHER"));
}

#[test]
fn a_profile_that_cannot_be_used_is_named() {
    let (aws, home) = (Aws::start(), home("unknown_profile"));
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let with = |more| [&keys[..], more].concat();
    for (arguments, environment, exit, words) in [
        (&["--aws-profile", "nosuch"][..], with(&[]), 2, "error: AWS_PROFILE_UNKNOWN: there is no profile `nosuch`"),
        (&["--aws-profile", "nosuch"], Vec::new(), 2, "error: AWS_PROFILE_UNKNOWN: there is no profile `nosuch`"),
        (&[], with(&[("AWS_PROFILE", "nosuch")]), 2, "error: AWS_PROFILE_UNKNOWN: there is no profile `nosuch`"),
        (&["--aws-profile", "empty"], with(&[]), 1, "of profile `empty`"),
    ] {
        let (output, key) = aws.preflight(&home, arguments, &environment);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), key), (Some(exit), None), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains(".."), "{said}");
    }
}
