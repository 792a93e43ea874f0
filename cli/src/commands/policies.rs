//! `hawser setup policies`: what each pack grants, as JSON.

use clap::Args;
use hawser_cli::{
    error::CommandError,
    setup::{
        json,
        policies::{self, MANAGED_POLICY_CHARACTERS_MAX, ROLE_INLINE_CHARACTERS_MAX},
    },
};
use serde_json::{Value, json};

use crate::commands::common::{FolderArguments, Output, SetupArguments, SetupInput, complain, help, out, print_json};

#[derive(Debug, Args)]
#[command(after_help = help!(
    "hawser setup policies --account 111122223333 --profile cost-insights --bucket acme-billing --prefix exports/costs"
))]
pub(crate) struct Arguments {
    #[command(flatten)]
    setup: SetupArguments,
    /// All packs in one document, or in as few as fit into managed policies of 6,144 characters.
    #[arg(long, conflicts_with = "inline")]
    combined: bool,
    /// All packs in one document for an inline policy, of which a role takes 10,240 characters in all.
    #[arg(long)]
    inline: bool,
    #[command(flatten)]
    folder: FolderArguments,
}

/// A document under the name of its file, and what it is.
struct Printed {
    name: String,
    about: String,
    characters_max: usize,
    document: Value,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<(), CommandError> {
    let SetupInput { template, parameters, target, billing, quota } = arguments.setup.read()?;
    let grants = policies::grants(&template, &parameters, &target, billing.as_ref())?;
    let packs = &grants.packs;
    let managed: Vec<&String> = packs.iter().flat_map(|pack| &pack.managed_policies).collect();
    let mut documents: Vec<Printed> = if arguments.combined || arguments.inline {
        let max = if arguments.inline { ROLE_INLINE_CHARACTERS_MAX } else { MANAGED_POLICY_CHARACTERS_MAX };
        let documents = if arguments.inline { vec![policies::inline(packs)?] } else { policies::combine(packs, max)? };
        let count = documents.len();
        policies::check_attached(count + managed.len(), quota)?;
        let printed = |(number, document)| Printed {
            name: if count == 1 { "hawser.json".to_owned() } else { format!("hawser-{number}.json") },
            about: format!("document {number} of {count}"),
            characters_max: max,
            document,
        };
        (1..).zip(documents).map(printed).collect()
    } else {
        policies::check_count(packs, quota)?;
        let printed = |pack: &policies::PackPolicy| Printed {
            name: format!("{}.json", pack.pack),
            about: format!("pack {} ({}): {}", pack.pack, pack.mode, pack.purpose.trim_end_matches('.')),
            characters_max: MANAGED_POLICY_CHARACTERS_MAX,
            document: pack.document.clone(),
        };
        packs.iter().map(printed).collect()
    };
    let beside = grants.boundaries.iter().map(|policy| (policy, "attached to nobody"));
    let beside =
        beside.chain(grants.read_access_key.iter().map(|policy| (policy, "attached to the role, the packs to the user")));
    documents.extend(beside.map(|(policy, to)| Printed {
        name: format!("{}.json", policy.name),
        about: format!("policy {} ({to}): {}", policy.name, policy.description.trim_end_matches('.')),
        characters_max: MANAGED_POLICY_CHARACTERS_MAX,
        document: policy.document.clone(),
    }));
    let mut notes = Vec::new();
    if policies::has_placeholder_bucket(&grants, billing.as_ref()) {
        notes.push(
            "the billing pack names a placeholder bucket, because the real one is not known here; pass it with --bucket, --prefix and --kms-key",
        );
    }
    let texts: Vec<_> = documents.iter().map(|one| (one.name.clone(), format!("{}\n", json::pretty(&one.document)))).collect();
    let files = arguments.folder.write(&texts)?;
    match output {
        Output::Json => {
            let of = |one: &Printed| {
                json!({
                    "file": one.name, "about": one.about, "characters": policies::characters(&one.document),
                    "charactersMax": one.characters_max, "document": one.document,
                })
            };
            let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
            let policies: Vec<Value> = documents.iter().map(of).collect();
            print_json(&json!({ "policies": policies, "managedPolicies": managed, "notes": notes, "files": files }));
        }
        Output::Text => {
            for (at, one) in documents.iter().enumerate() {
                let size = format!("{} of {} characters", policies::characters(&one.document), one.characters_max);
                match files.get(at) {
                    Some(path) => out!("{}: {}, {size}\n", path.display(), one.about),
                    // So that standard output is JSON.
                    None => {
                        complain(format_args!("# {}, {size}\n", one.about));
                        out!("{}\n", json::pretty(&one.document));
                    }
                }
            }
            for arn in managed {
                complain(format_args!("# attach as well {arn}\n"));
            }
            for note in notes {
                complain(format_args!("# note: {note}\n"));
            }
        }
    }
    Ok(())
}
