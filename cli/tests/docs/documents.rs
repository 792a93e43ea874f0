//! The documents say what is there: each command that they show is run, each parameter, file and link that they name is looked up.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
};

use hawser_cli::template::Template;

use crate::support::{empty_folder, hawser, read, root};

/// Documents for people who launch and people who publish: all of what they show is checked.
const GUIDES: [&str; 3] = ["README.md", "docs/connect.md", "docs/vendors.md"];

/// Commands that reach for AWS. Of these, the command line alone is checked.
const OF_AWS: [&str; 3] = ["connect", "disconnect", "preflight"];

/// Words in capitals that are AWS's or the notice's and not the template's.
const OTHER_WORDS: [&str; 7] =
    ["Add", "AmazonSSMManagedInstanceCore", "InvalidClientTokenId", "Modify", "Remove", "SecurityAudit", "ViewOnlyAccess"];

/// What the documents' commands find beside them, as in a checkout.
const BESIDE: [&str; 4] = ["events", "tests", "profiles", "docs"];

/// The blocks of a document within fences, each with the word after its fence.
fn blocks(document: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in document.lines() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(block)) => found.push(block),
            (None, Some((language, text))) => open = Some((language, format!("{text}{line}\n"))),
            (None, None) => {}
        }
    }
    found
}

/// The command lines of a document, each whole.
fn commands(document: &str) -> Vec<String> {
    let shown = blocks(document).into_iter().filter(|(language, _)| ["", "sh", "console"].contains(&language.as_str()));
    shown
        .flat_map(|(_, text)| text.replace("\\\n", " ").lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        .map(|line| line.strip_prefix("$ ").unwrap_or(&line).to_owned())
        .collect()
}

/// Words as a shell parts them; what it would do with them ends at a redirection or a pipe.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut inside) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => (quote, inside) = (Some(c), true),
            (None, ' ' | '>' | '|') => {
                if inside {
                    words.push(std::mem::take(&mut word));
                }
                inside = false;
                if c != ' ' {
                    return words;
                }
            }
            _ => {
                word.push(c);
                inside = true;
            }
        }
    }
    if inside {
        words.push(word);
    }
    words
}

/// What follows `hawser`, however a document calls it.
fn of_hawser(line: &str) -> Option<Vec<String>> {
    let line = line.replace("cargo run --package hawser-cli -- ", "hawser ");
    line.strip_prefix("hawser ").map(words)
}

/// A folder as a reader of the documents has it: their own files, and a checkout's.
fn workplace(name: &str) -> PathBuf {
    let target = empty_folder(name);
    for beside in BESIDE {
        symlink(root().join(beside), target.join(beside)).unwrap();
    }
    for (language, text) in GUIDES.iter().flat_map(|path| blocks(&read(path))) {
        // A file is shown with its name in its first line.
        if language == "toml" {
            let file = text.lines().next().unwrap().trim_start_matches("# ").to_owned();
            fs::write(target.join(file), text).unwrap();
        }
    }
    // What the console gives, and no document shows.
    fs::write(target.join("token.txt"), format!("whsec_{}\n", "A".repeat(32))).unwrap();
    target
}

#[test]
fn every_command_that_is_shown_works() {
    let target = workplace("commands");
    let (mut run, mut wrong) = (BTreeMap::new(), Vec::new());
    for (path, line) in GUIDES.iter().flat_map(|path| commands(&read(path)).into_iter().map(move |line| (path, line))) {
        let Some(mut arguments) = of_hawser(&line) else { continue };
        if OF_AWS.contains(&arguments[0].as_str()) {
            arguments.push("--help".to_owned());
        }
        let done = hawser().args(&arguments).current_dir(&target).output().unwrap();
        if !done.status.success() || done.stdout.is_empty() {
            wrong.push(format!("{path}: {line}\n{}", String::from_utf8_lossy(&done.stderr)));
        }
        let words = if arguments[0] == "setup" { 2 } else { 1 };
        *run.entry(arguments[..words].join(" ")).or_insert(0) += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for command in [
        "connect",
        "disconnect",
        "plan",
        "preflight",
        "profiles",
        "setup guide",
        "setup link",
        "setup policies",
        "setup script",
        "setup terraform",
        "setup trust",
        "template",
    ] {
        assert!(run.contains_key(command), "no document shows `hawser {command}`: {run:?}");
    }
}

#[test]
fn every_option_of_the_console_that_is_shown_is_one() {
    let config = read("console/src/config.rs");
    for (path, line) in GUIDES.iter().flat_map(|path| commands(&read(path)).into_iter().map(move |line| (path, line))) {
        let Some(arguments) = line.strip_prefix("hawser-console ").map(words) else { continue };
        for option in arguments.iter().filter_map(|word| word.strip_prefix("--")) {
            let field = format!("{}:", option.replace('-', "_"));
            assert!(config.contains(&field), "{path}: hawser-console has no option `--{option}`");
        }
    }
}

/// Words in backticks, outside of blocks.
fn named(document: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in document.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// All names that the template knows: parameters and what they allow, resources, outputs, and what a custom resource is passed.
fn names_of_the_template() -> BTreeSet<String> {
    let template = Template::ours().for_organization().unwrap();
    let mut names: BTreeSet<String> = OTHER_WORDS.iter().map(|word| (*word).to_owned()).collect();
    for parameter in template.parameters() {
        names.extend(parameter.allowed);
        names.insert(parameter.name);
    }
    for section in ["Resources", "Outputs"] {
        names.extend(template.json()[section].as_object().unwrap().keys().cloned());
    }
    names
}

#[test]
fn every_parameter_that_is_named_is_one() {
    let names = names_of_the_template();
    let camel = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.contains(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let mut wrong = Vec::new();
    for path in ["docs/connect.md", "docs/vendors.md", "docs/billing.md"] {
        let document = read(path);
        let set = blocks(&document).into_iter().flat_map(|(_, text)| {
            let after = |mark: &str| {
                let words =
                    text.split(mark).skip(1).map(|rest| rest.split(['=', ',', ' ', '\'', '"', '\n', ')', ']']).next().unwrap());
                words.filter(|word| camel(word)).map(str::to_owned).collect::<Vec<_>>()
            };
            [after("--set "), after("ParameterKey="), after("ParameterKey!='")].concat()
        });
        let words = named(&document).into_iter().flat_map(|words| {
            let first = |word: &str| word.split([':', '=']).next().unwrap_or_default().to_owned();
            words.split([' ', ',']).map(first).collect::<Vec<_>>()
        });
        wrong.extend(
            words
                .filter(|word| camel(word))
                .chain(set)
                .filter(|word| !names.contains(word))
                .map(|word| format!("{path}: {word}")),
        );
    }
    assert!(wrong.is_empty(), "the template knows none of these: {wrong:?}");
}

#[test]
fn every_file_and_target_that_is_named_is_there() {
    let targets: BTreeSet<String> = read("Makefile")
        .lines()
        .filter_map(|line| Some(line.split_once(": ")?.0.to_owned()))
        .flat_map(|all| all.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut wrong = Vec::new();
    for path in GUIDES {
        let document = read(path);
        let lines = commands(&document);
        let made: BTreeSet<&str> = lines
            .iter()
            .flat_map(|line| line.split("> ").skip(1))
            .chain(lines.iter().filter_map(|line| line.strip_prefix("cp ")?.split(' ').nth(1)))
            .filter_map(|rest| rest.split_whitespace().next())
            .collect();
        let shown: BTreeSet<String> = GUIDES
            .iter()
            .flat_map(|path| blocks(&read(path)))
            .filter(|(language, _)| language == "toml")
            .map(|(_, text)| text.lines().next().unwrap().trim_start_matches("# ").to_owned())
            .collect();
        let files = ["md", "yaml", "toml", "json", "rs", "py", "tf", "sh"];
        for word in named(&document) {
            let file = !word.contains([' ', '<', '…', '*', '$', '{'])
                && !word.contains("://")
                && word.rsplit_once('.').is_some_and(|(_, kind)| files.contains(&kind));
            let there = root().join(&word).exists() || root().join("docs").join(&word).exists();
            if file && !there && !made.contains(word.as_str()) && !shown.contains(&word) && !word.starts_with("dist/") {
                wrong.push(format!("{path}: there is no file `{word}`"));
            }
        }
        let words = named(&document).into_iter().chain(lines.clone());
        for target in words.filter_map(|line| line.strip_prefix("make ").map(|rest| rest.split(' ').next().unwrap().to_owned())) {
            if !targets.contains(&target) {
                wrong.push(format!("{path}: there is no `make {target}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Headings as GitHub makes anchors of them.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in document.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) {
            let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
            let heading: String = heading.trim_start_matches('#').trim().chars().filter(kept).collect();
            found.insert(heading.to_lowercase().replace(' ', "-"));
        }
    }
    found
}

#[test]
fn every_link_leads_somewhere() {
    let in_docs =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()));
    let documents = in_docs
        .filter(|path| path.ends_with(".md"))
        .chain(["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "console/README.md"].map(str::to_owned));
    let (mut links, mut wrong) = (0, Vec::new());
    for path in documents {
        let document = read(&path);
        for target in document.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { root().join(&path) } else { root().join(&path).parent().unwrap().join(file) };
            let there = file.exists() && (anchor.is_empty() || anchors(&fs::read_to_string(&file).unwrap()).contains(anchor));
            if !there {
                wrong.push(format!("{path}: ({target})"));
            }
        }
    }
    assert!(links > 50, "links went missing: {links}");
    assert!(wrong.is_empty(), "these lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn commands_are_read_as_a_shell_reads_them() {
    let document = "text\n```console\n$ hawser setup link --set A=b \\\n    --set 'C=d e' > x\nout\n```\n```toml\n$ no\n```\n";
    assert_eq!(commands(document), ["hawser setup link --set A=b      --set 'C=d e' > x", "out"]);
    assert_eq!(of_hawser(&commands(document)[0]).unwrap(), ["setup", "link", "--set", "A=b", "--set", "C=d e"]);
    assert_eq!(of_hawser("cargo run --package hawser-cli -- plan --event x").unwrap(), ["plan", "--event", "x"]);
    assert!(of_hawser("aws iam get-role").is_none());
    assert_eq!(words("a \"\" b|c"), ["a", "", "b"]);
}

/// Each is the first command on a new machine: it needs what the events are run with, whatever was built before.
#[test]
fn what_runs_events_builds_all_that_it_runs() {
    let makefile = read("Makefile");
    let mut rules = 0;
    for rule in makefile.split("\n\n").filter(|rule| rule.contains("-m dev.sam ")) {
        let (_, needs) = rule.lines().next().unwrap().split_once(':').unwrap();
        let needs: BTreeSet<&str> = needs.split("##").next().unwrap().split_whitespace().collect();
        assert!(["build", "venv", "sam-venv", "programs"].iter().all(|need| needs.contains(need)), "{rule}");
        rules += 1;
    }
    assert_eq!(rules, 3);
}

/// `hawser disconnect --list-left` and the page say the same.
#[test]
fn what_outlives_a_stack_is_listed_alike() {
    let page = read("docs/connect.md");
    let section = page.split("### What outlives a stack").nth(1).unwrap().split("\n\nDeleting the stack").next().unwrap();
    let shown: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    let listed = hawser_cli::setup::left::left(&hawser_cli::template::Template::ours(), &BTreeMap::new());
    assert_eq!(shown.len(), listed.len(), "{shown:?}");
    for (row, one) in shown.iter().zip(&listed) {
        assert!(row.ends_with(&format!("| {} | {} |", one.stays, one.place)), "{row}");
    }
}
