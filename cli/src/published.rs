//! What a vendor published, checked before it is launched: minisign's signature of the checksums, and the checksums.

use std::{collections::BTreeMap, fs, path::Path};

use minisign_verify::{PublicKey, Signature};
use sha2::{Digest as _, Sha256};

use crate::error::{CommandCode, CommandError};

/// The list of checksums in what is published; `sha256sum --check` reads it.
pub const CHECKSUMS: &str = "SHA256SUMS";
/// What minisign appends to the name of what it signs.
pub const SIGNATURE_SUFFIX: &str = ".minisig";

/// Checks every file of a folder: the checksums by the vendor's signature, and the other files by the checksums. Returns the names of
/// the files that are as the vendor published them. Files of the list need not be there, because a customer may have downloaded the
/// template alone.
///
/// `public_key` is minisign's, as its base64 line, or the path of its file.
///
/// # Errors
/// [`CommandCode::SignatureInvalid`] for any file that is not proved to be the vendor's, [`CommandCode::File`] for what cannot be read.
pub fn verify(folder: &Path, public_key: &str) -> Result<Vec<String>, CommandError> {
    let read =
        |path: &Path| fs::read(path).map_err(|why| CommandError::new(CommandCode::File, format!("`{}`: {why}", path.display())));
    let refused = |cause: String| CommandError::new(CommandCode::SignatureInvalid, cause);
    let key = match PublicKey::from_base64(public_key.trim()) {
        Ok(key) => key,
        Err(_) => {
            let text = String::from_utf8(read(Path::new(public_key))?).unwrap_or_default();
            PublicKey::decode(&text).map_err(|why| refused(format!("`{public_key}` is not a public key of minisign: {why}")))?
        }
    };
    let sums = read(&folder.join(CHECKSUMS))?;
    let mut verified = Vec::new();
    let mut expected = BTreeMap::from([(CHECKSUMS.to_owned(), hex::encode(Sha256::digest(&sums)))]);
    let signed = |name: &str, content: &[u8]| {
        let path = folder.join(format!("{name}{SIGNATURE_SUFFIX}"));
        let signature = String::from_utf8(read(&path)?).unwrap_or_default();
        Signature::decode(&signature)
            .and_then(|signature| key.verify(content, &signature, false))
            .map_err(|why| refused(format!("`{}` is not this key's signature of `{name}`: {why}", path.display())))?;
        Ok::<_, CommandError>(())
    };
    signed(CHECKSUMS, &sums)?;
    for line in String::from_utf8_lossy(&sums).lines() {
        let listed = line.split_once("  ").filter(|(sum, _)| sum.len() == 64);
        let (sum, name) = listed.ok_or_else(|| refused(format!("`{line}` is not a line of checksums")))?;
        expected.insert(name.to_owned(), sum.to_owned());
    }
    for entry in
        fs::read_dir(folder).map_err(|why| CommandError::new(CommandCode::File, format!("`{}`: {why}", folder.display())))?
    {
        let entry = entry.map_err(|why| CommandError::new(CommandCode::File, why.to_string()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(of) = name.strip_suffix(SIGNATURE_SUFFIX) {
            if of != CHECKSUMS {
                signed(of, &read(&folder.join(of))?)?;
            }
            verified.push(name);
            continue;
        }
        let sum = expected.get(&name).ok_or_else(|| refused(format!("`{name}` is not among the signed checksums")))?;
        if hex::encode(Sha256::digest(read(&entry.path())?)) != *sum {
            return Err(refused(format!("`{name}` is not the file that was published: its SHA-256 differs")));
        }
        verified.push(name);
    }
    verified.sort();
    Ok(verified)
}
