//! `make publish`: `dist/` into one bucket per Region. Nothing that is there is changed.

use std::path::Path;

use anyhow::Context as _;
use aws_sdk_s3::{Client, error::SdkError};
use aws_smithy_runtime_api::client::result::CreateUnhandledError;
use aws_smithy_types::error::display::DisplayErrorContext;
use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::{File, Manifest, bucket};
use hawser_cli::error::{CommandCode, CommandError};

/// How many objects were put, and how many were there already.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Published {
    pub put: usize,
    /// Those that were there, byte for byte.
    pub there: usize,
}

/// Uploads what [`Manifest`] names into the buckets of `owner`, in every Region the code before the templates, and reads each object back.
///
/// # Errors
/// [`CommandError`]. All buckets are looked at before anything is put.
pub async fn publish(
    dist: &Path,
    owner: &str,
    client: &(dyn Fn(&str) -> Client + Sync),
    say: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<Published> {
    let manifest = Manifest::read(dist)?;
    let mut contents = Vec::new();
    for file in &manifest.files {
        let content = std::fs::read(dist.join(&file.name)).with_context(|| format!("could not read `{}`", file.name))?;
        if hex::encode(Sha256::digest(&content)) != file.sha256 {
            let cause = format!("`{}` is not what `make package` made", file.name);
            return Err(CommandError::new(CommandCode::PublishDistChanged, cause).into());
        }
        contents.push(content);
    }
    let places: Vec<PublishBucket> = manifest
        .regions
        .iter()
        .map(|region| PublishBucket {
            s3: client(region),
            bucket: bucket(&manifest.bucket_prefix, region),
            region: region.clone(),
            owner,
        })
        .collect();
    for place in &places {
        place.look().await?;
        say(&format!("{}: yours, in {}", place.bucket, place.region));
    }
    let mut published = Published::default();
    for (file, content) in manifest.files.iter().zip(&contents) {
        for place in &places {
            let new = place.put(file, content).await?;
            *(if new { &mut published.put } else { &mut published.there }) += 1;
            say(&format!("{}/{}: {}", place.bucket, file.key, if new { "uploaded and read back" } else { "there already" }));
        }
    }
    Ok(published)
}

/// A bucket that must be `owner`'s.
struct PublishBucket<'a> {
    s3: Client,
    bucket: String,
    region: String,
    owner: &'a str,
}

impl PublishBucket<'_> {
    async fn look(&self) -> Result<(), CommandError> {
        let (bucket, region) = (&self.bucket, &self.region);
        let refused = |code, cause: String| Err(CommandError::new(code, cause));
        let found = match self.s3.head_bucket().bucket(&self.bucket).expected_bucket_owner(self.owner).send().await {
            Ok(found) => found.bucket_region().map(str::to_owned),
            Err(error) => match status(&error) {
                Some(404) => {
                    return refused(CommandCode::PublishBucketMissing, format!("there is no bucket `{bucket}` in `{region}`"));
                }
                Some(403) => {
                    let cause = format!("account {} may not use the bucket `{bucket}`", self.owner);
                    return refused(CommandCode::PublishBucketDenied, cause);
                }
                // A redirect to where the bucket is.
                Some(301 | 307 | 400) => header(&error, "x-amz-bucket-region"),
                _ => return Err(self.failed("look at the bucket", &error)),
            },
        };
        match found {
            Some(actual) if actual != *region => {
                let cause = format!("the bucket `{bucket}` is in `{actual}`, and Lambda reads code in its own Region only");
                refused(CommandCode::PublishBucketRegion, cause)
            }
            _ => Ok(()),
        }
    }

    /// Puts a new object; false when it was there. Either way it is read back.
    async fn put(&self, file: &File, content: &[u8]) -> Result<bool, CommandError> {
        let (bucket, key) = (&self.bucket, &file.key);
        let sum = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(content));
        let put = self
            .s3
            .put_object()
            .bucket(&self.bucket)
            .key(&file.key)
            .expected_bucket_owner(self.owner)
            .content_type(&file.content_type)
            .checksum_sha256(sum)
            // Only where nothing is (Amazon S3 User Guide, "Conditional requests").
            .if_none_match("*")
            .body(content.to_vec().into())
            .send()
            .await;
        let new = match put {
            Ok(_) => true,
            Err(error) if status(&error) == Some(412) => false,
            Err(error) => return Err(self.failed(&format!("upload `{key}`"), &error)),
        };
        let read = self.s3.get_object().bucket(&self.bucket).key(&file.key).expected_bucket_owner(self.owner).send().await;
        let read = read.map_err(|error| self.failed(&format!("read `{key}` back"), &error))?;
        let stored = read.body.collect().await.map_err(|error| self.failed(&format!("read `{key}` back"), &error))?;
        match (stored.into_bytes() == content, new) {
            (true, _) => Ok(new),
            (false, true) => {
                Err(CommandError::new(CommandCode::PublishDiffers, format!("`{key}` in `{bucket}` is not what was sent")))
            }
            (false, false) => {
                let cause =
                    format!("`{key}` in `{bucket}` is another object than the one to be published, and stacks may use it");
                Err(CommandError::new(CommandCode::PublishKeyTaken, cause))
            }
        }
    }

    fn failed(&self, what: &str, error: &dyn std::error::Error) -> CommandError {
        let cause = format!("could not {what} in `{}`: {}", self.bucket, DisplayErrorContext(error));
        CommandError::new(CommandCode::PublishFailed, cause)
    }
}

fn status<E: CreateUnhandledError>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn header<E: CreateUnhandledError>(error: &SdkError<E>, name: &str) -> Option<String> {
    error.raw_response()?.headers().get(name).map(str::to_owned)
}
