//! The four handlers: where each is, how it is started, how big it is.

use std::io::{Cursor, Read, Seek, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use tokio::process::Command;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::record::Service;
use crate::stub::StubAws;
use crate::throttle::MEMORY_MB;
use crate::workload::Depth;
use crate::world::{ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, STACK_REGION};

/// The best that deflate can do, for all alike.
const ZIP_LEVEL: i64 = 9;

/// One of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HandlerName {
    /// The published binary.
    Hawser,
    /// A Rust handler that only answers.
    Floor,
    /// A plain sequential Rust SDK handler.
    Plain,
    /// Python with crhelper and boto3.
    Python,
}

impl HandlerName {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 4] = [Self::Python, Self::Plain, Self::Hawser, Self::Floor];

    /// Short.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hawser => "hawser",
            Self::Floor => "floor",
            Self::Plain => "plain",
            Self::Python => "python",
        }
    }

    /// For the table.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Hawser => "hawser",
            Self::Floor => "floor: Rust, only answers",
            Self::Plain => "plain: Rust SDK, sequential",
            Self::Python => "python: crhelper + boto3",
        }
    }

    /// How much of the work it does.
    pub(crate) fn depth(self) -> Depth {
        match self {
            Self::Hawser => Depth::Proves,
            Self::Floor => Depth::OnlyAnswers,
            Self::Plain | Self::Python => Depth::Works,
        }
    }
}

/// A handler that can be started.
#[derive(Debug, Clone)]
pub(crate) struct Handler {
    /// Which.
    pub(crate) name: HandlerName,
    program: PathBuf,
    args: Vec<String>,
    task_root: PathBuf,
    /// What of it is uploaded to Lambda.
    pub(crate) package: Package,
}

/// Of what is uploaded.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Package {
    /// Zipped by the bench, the same way for all.
    pub(crate) zip_bytes: u64,
    /// With what Lambda's own runtime brings.
    pub(crate) zip_bytes_with_sdk: Option<u64>,
    /// Versions of what is not pinned by a lock file beside it.
    pub(crate) versions: Option<String>,
    /// The zip that is published, where there is one.
    pub(crate) published_zip_bytes: Option<u64>,
}

impl Handler {
    /// A `bootstrap` for `provided.al2023`.
    pub(crate) fn binary(name: HandlerName, path: &Path) -> anyhow::Result<Self> {
        let program =
            path.canonicalize().context(format!("looking for the handler `{}` at `{}`", name.as_str(), path.display()))?;
        let task_root = program.parent().map(Path::to_owned).unwrap_or_default();
        let zip_bytes = zipped(&[(program.clone(), "bootstrap".to_owned())])?;
        let published_zip_bytes = published(&program)?;
        let package = Package { zip_bytes, published_zip_bytes, ..Package::default() };
        Ok(Self { name, program, args: Vec::new(), task_root, package })
    }

    /// `handler.py` in `folder`, run by Lambda's own Python runtime client, `awslambdaric`.
    pub(crate) fn python(interpreter: &Path, folder: &Path) -> anyhow::Result<Self> {
        let (packages, versions) = site_packages(interpreter)?;
        compile(interpreter, &packages)?;
        let task_root = folder.canonicalize().context(format!("looking for `{}`", folder.display()))?;
        let mut files = vec![(task_root.join("handler.py"), "handler.py".to_owned())];
        collect(&packages.join("crhelper"), "crhelper", &mut files)?;
        let zip_bytes = zipped(&files)?;
        for package in SDK_PACKAGES {
            let path = packages.join(package);
            if path.is_dir() { collect(&path, package, &mut files)? } else { files.push((path, package.to_owned())) }
        }
        let zip_bytes_with_sdk = Some(zipped(&files)?);
        Ok(Self {
            name: HandlerName::Python,
            // Not canonical: a virtual environment is recognised by the path of its interpreter.
            program: std::path::absolute(interpreter).context(format!("looking for `{}`", interpreter.display()))?,
            args: ["-m", "awslambdaric", "handler.handler"].map(str::to_owned).to_vec(),
            task_root,
            package: Package { zip_bytes, zip_bytes_with_sdk, versions: Some(versions), ..Package::default() },
        })
    }

    /// The command with the environment that Lambda gives a function, and the stub in AWS's place.
    pub(crate) fn command(&self, world: &StubAws, runtime_api: SocketAddr, roots: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(&self.task_root).env_clear();
        command
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "en_US.UTF-8")
            .env("TZ", ":UTC")
            .env("LAMBDA_TASK_ROOT", &self.task_root)
            .env("_HANDLER", "handler.handler")
            // Lambda's `/var/task` cannot be written.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023")
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string())
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("AWS_LAMBDA_FUNCTION_NAME", "hawser")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_MB.to_string())
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/hawser")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_REGION", STACK_REGION)
            .env("AWS_DEFAULT_REGION", STACK_REGION)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_SESSION_TOKEN", SESSION_TOKEN)
            .env("AWS_ENDPOINT_URL", world.url(Service::S3))
            .env("AWS_ENDPOINT_URL_S3", world.url(Service::S3))
            .env("AWS_ENDPOINT_URL_CLOUDFORMATION", world.url(Service::CloudFormation))
            .env("AWS_ENDPOINT_URL_STS", world.url(Service::Sts))
            .env("AWS_ENDPOINT_URL_ORGANIZATIONS", world.url(Service::Organizations))
            .env("AWS_ENDPOINT_URL_COST_AND_USAGE_REPORT_SERVICE", world.url(Service::Cur))
            .env("AWS_ENDPOINT_URL_BCM_DATA_EXPORTS", world.url(Service::DataExports))
            .env("SSL_CERT_FILE", roots)
            .env("AWS_CA_BUNDLE", roots);
        command
    }
}

/// The size of `<folder>-x86_64.zip` beside the program's folder, where `make build` puts what is published. None if it is
/// not there; an error if it holds another program than the one to be measured.
fn published(program: &Path) -> anyhow::Result<Option<u64>> {
    let Some(folder) = program.parent().and_then(Path::to_str) else { return Ok(None) };
    let path = format!("{folder}-x86_64.zip");
    let Ok(file) = fs::File::open(&path) else { return Ok(None) };
    let reading = || format!("reading `{path}`");
    let size = file.metadata().context(reading())?.len();
    let mut archive = ZipArchive::new(file).map_err(io::Error::from).context(reading())?;
    let mut zipped = Vec::new();
    archive.by_name("bootstrap").map_err(io::Error::from).and_then(|mut it| it.read_to_end(&mut zipped)).context(reading())?;
    let same = zipped == fs::read(program).context(reading())?;
    ensure!(same, "`{path}` holds another program than `{}`: run `make build`", program.display());
    Ok(Some(size))
}

/// boto3 and all it needs; Lambda's Python runtime brings them along.
const SDK_PACKAGES: [&str; 7] = ["boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py"];

/// Compiles the packages to bytecode, as they are on Lambda: what pip left uncompiled would be compiled at every start.
fn compile(interpreter: &Path, packages: &Path) -> anyhow::Result<()> {
    let status = std::process::Command::new(interpreter)
        .args(["-m", "compileall", "-q"])
        .args(["awslambdaric", "crhelper"].into_iter().chain(SDK_PACKAGES).map(|it| packages.join(it)))
        .status()
        .context(format!("starting `{}`", interpreter.display()))?;
    ensure!(status.success(), "`{}` cannot be compiled", packages.display());
    Ok(())
}

/// Where the packages are, and in which versions.
const ASK: &str = "
import importlib.metadata, os, platform
import awslambdaric, boto3, crhelper
print(os.path.dirname(os.path.dirname(boto3.__file__)))
packages = ', '.join(f'{it} {importlib.metadata.version(it)}' for it in ('crhelper', 'boto3', 'awslambdaric'))
print(f'Python {platform.python_version()}, {packages}')
";

fn site_packages(interpreter: &Path) -> anyhow::Result<(PathBuf, String)> {
    let output = std::process::Command::new(interpreter)
        .args(["-c", ASK])
        .output()
        .context(format!("starting `{}`", interpreter.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.trim().split_once('\n') {
        Some((path, versions)) if output.status.success() => Ok((PathBuf::from(path), versions.to_owned())),
        _ => {
            bail!("`{}` lacks a package: {}", interpreter.display(), String::from_utf8_lossy(&output.stderr).trim());
        }
    }
}

/// All files below `folder`, but not the bytecode that Python keeps there.
fn collect(folder: &Path, name: &str, files: &mut Vec<(PathBuf, String)>) -> anyhow::Result<()> {
    let reading = || format!("reading `{}`", folder.display());
    for entry in fs::read_dir(folder).context(reading())? {
        let entry = entry.context(reading())?;
        let inner = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().context(reading())?.is_dir() {
            if entry.file_name() != "__pycache__" {
                collect(&entry.path(), &inner, files)?;
            }
        } else {
            files.push((entry.path(), inner));
        }
    }
    Ok(())
}

/// Size of a zip with these files.
fn zipped(files: &[(PathBuf, String)]) -> anyhow::Result<u64> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(ZIP_LEVEL))
        .unix_permissions(0o755);
    for (path, name) in files {
        add(&mut archive, path, name, options).context(format!("zipping `{}`", path.display()))?;
    }
    let bytes = archive.finish().map_err(io::Error::from).context("zipping")?.into_inner();
    Ok(bytes.len() as u64)
}

fn add(archive: &mut ZipWriter<impl Write + Seek>, path: &Path, name: &str, options: SimpleFileOptions) -> io::Result<()> {
    let content = fs::read(path)?;
    archive.start_file(name, options)?;
    archive.write_all(&content)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_zip_is_smaller_than_what_repeats_and_not_smaller_than_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bootstrap");
        fs::write(&path, vec![7_u8; 100_000]).unwrap();
        let size = zipped(&[(path, "bootstrap".to_owned())]).unwrap();
        assert!((50..2_000).contains(&size), "{size}");
    }

    #[test]
    fn the_published_zip_must_hold_the_program_that_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("hawser/bootstrap");
        fs::create_dir(folder.path().join("hawser")).unwrap();
        fs::write(&program, "program").unwrap();
        assert_eq!(published(&program).unwrap(), None, "not built");
        let zip = |content: &str| {
            let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
            archive.start_file("bootstrap", SimpleFileOptions::default()).unwrap();
            archive.write_all(content.as_bytes()).unwrap();
            let bytes = archive.finish().unwrap().into_inner();
            fs::write(folder.path().join("hawser-x86_64.zip"), &bytes).unwrap();
            bytes.len() as u64
        };
        let size = zip("program");
        assert_eq!(published(&program).unwrap(), Some(size));
        zip("another");
        assert!(published(&program).is_err());
    }

    #[test]
    fn bytecode_is_not_uploaded() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("__pycache__")).unwrap();
        fs::write(folder.path().join("__pycache__/a.pyc"), "x").unwrap();
        fs::write(folder.path().join("a.py"), "x").unwrap();
        let mut files = Vec::new();
        collect(folder.path(), "p", &mut files).unwrap();
        assert_eq!(files.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), ["p/a.py"]);
    }
}
