//! Secrets at rest: sealed under the operator's key before they are stored, AES-256-GCM each with a nonce of its own.
//!
//! What was sealed for one row opens for no other. Several keys may be given: the first seals, all of them open, so that a key can be
//! replaced while the console runs.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::secret::Secret;

/// AES-256.
const KEY_BYTES: usize = 32;
/// A file with more is none of ours: nobody replaces a key a hundred times without sealing anew.
const KEY_FILE_BYTES_MAX: u64 = 16 * 1024;
/// How a sealed text begins.
const FORMAT: &str = "v1";

/// Why the keys, or what was sealed with them, cannot be used.
#[derive(Debug, Error)]
pub enum SealError {
    /// The operating system's own words.
    #[error("failed to read the key file `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    #[error("the key file `{}` has no keys: it needs one in each line, {KEY_BYTES} bytes as hexadecimal digits", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    #[error("none of the keys is the one that sealed this database: name its key file with `--key-file`")]
    OtherKey,
    #[error("what should be sealed is not, or was changed")]
    Broken,
    #[error("the operating system provided no randomness")]
    Randomness,
}

/// Makes a file that is whole or not there, whenever the power goes, and leaves one alone that another process made meanwhile.
fn make(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let linked = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&unfinished, path));
    fs::remove_file(&unfinished)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(directory)?.sync_all(),
    }
}

struct Key {
    id: String,
    key: LessSafeKey,
}

/// The operator's keys. The first seals.
pub struct SealKeys(Vec<Key>);

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl SealKeys {
    /// These keys; None where there is none.
    pub fn new(keys: &[[u8; KEY_BYTES]]) -> Option<Self> {
        let keys: Vec<Key> = keys.iter().filter_map(Key::new).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The keys of a file; one with a new key is made, for its owner only, where there is none.
    ///
    /// # Errors
    /// The file cannot be read or made, or holds something else.
    pub fn open(path: &Path) -> Result<Self, SealError> {
        let file_error = |source| SealError::File { path: path.to_owned(), source };
        if !path.exists() {
            let mut key = [0; KEY_BYTES];
            SystemRandom::new().fill(&mut key).map_err(|_| SealError::Randomness)?;
            make(path, &format!("{}\n", hex::encode(key))).map_err(file_error)?;
        }
        let mut text = String::new();
        File::open(path).and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)).map_err(file_error)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Option<Vec<_>> = lines.map(|line| hex::decode(line).ok()?.try_into().ok()).collect();
        keys.and_then(|keys| Self::new(&keys)).ok_or_else(|| SealError::Form { path: path.to_owned() })
    }

    /// Seals a text for one place, such as a row of a table.
    ///
    /// # Errors
    /// No randomness.
    pub fn seal(&self, place: &str, text: &Secret) -> Result<String, SealError> {
        let first = self.0.first().ok_or(SealError::OtherKey)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Randomness)?;
        let mut sealed = text.expose().as_bytes().to_vec();
        let place = Aad::from(place.as_bytes());
        first
            .key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place, &mut sealed)
            .map_err(|_| SealError::Broken)?;
        Ok(format!("{FORMAT}.{}.{}", first.id, STANDARD.encode([&nonce[..], &sealed].concat())))
    }

    /// The text that was sealed for this place.
    ///
    /// # Errors
    /// It was sealed with another key, for another place, or not at all.
    pub fn unseal(&self, place: &str, sealed: &str) -> Result<Secret, SealError> {
        let parts: Vec<&str> = sealed.split('.').collect();
        let [FORMAT, id, text] = parts[..] else { return Err(SealError::Broken) };
        let key = self.0.iter().find(|key| key.id == id).ok_or(SealError::OtherKey)?;
        let mut bytes = STANDARD.decode(text).map_err(|_| SealError::Broken)?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(SealError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Broken)?;
        let text = key.key.open_in_place(nonce, Aad::from(place.as_bytes()), sealed).map_err(|_| SealError::Broken)?;
        Ok(Secret::new(std::str::from_utf8(text).map_err(|_| SealError::Broken)?))
    }

    /// Whether the first key sealed it.
    pub fn is_current(&self, sealed: &str) -> bool {
        let id = sealed.split('.').nth(1);
        self.0.first().is_some_and(|first| id == Some(first.id.as_str()))
    }
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?);
        // Says which key it is, and nothing of the key.
        let id = hex::encode(Sha256::new_with_prefix("hawser-console key").chain_update(bytes).finalize());
        Some(Self { id: id[..8].to_owned(), key })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let keys = |bytes: &[u8]| SealKeys::new(&bytes.iter().map(|byte| [*byte; KEY_BYTES]).collect::<Vec<_>>()).unwrap();
        let (old, both) = (keys(&[1]), keys(&[2, 1]));
        let secret = Secret::new("whsec_abc");
        let sealed = old.seal("launches/a", &secret).unwrap();
        assert!(!sealed.contains("whsec"), "{sealed}");
        assert_ne!(sealed, old.seal("launches/a", &secret).unwrap(), "a nonce of its own");
        assert_eq!(both.unseal("launches/a", &sealed).unwrap(), secret);
        assert!(old.is_current(&sealed) && !both.is_current(&sealed));
        assert!(matches!(old.unseal("launches/b", &sealed), Err(SealError::Broken)), "another row's");
        assert!(matches!(keys(&[2]).unseal("launches/a", &sealed), Err(SealError::OtherKey)));
        for position in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            assert!(old.unseal("launches/a", std::str::from_utf8(&changed).unwrap()).is_err(), "{position}");
        }
        assert!(!format!("{both:?}").contains("0202"));
    }

    #[test]
    fn a_file_is_made_for_its_owner_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let sealed = SealKeys::open(&path).unwrap().seal("x", &Secret::new("a")).unwrap();
        assert_eq!(SealKeys::open(&path).unwrap().unseal("x", &sealed).unwrap().expose(), "a");
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        for (text, good) in [
            (format!("# newest first\n{}\n{}\n", "0b".repeat(32), "0a".repeat(32)), true),
            (String::new(), false),
            ("0b".repeat(31), false),
            ("x".repeat(64), false),
        ] {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(SealKeys::open(&path).is_ok(), good, "{text}");
        }
    }
}
