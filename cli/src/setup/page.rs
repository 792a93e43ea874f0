//! Texts with placeholders, filled in.

use hawser::names::digest_hex;
use minijinja::{Environment, UndefinedBehavior, Value, context, syntax::SyntaxConfig};

use crate::setup::{SetupTarget, json::pretty};

/// Fills in one of the texts beside this file.
#[expect(clippy::expect_used, reason = "the texts are part of the program, and tests render them")]
pub(super) fn render(text: &str, values: Value) -> String {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the syntax is valid"));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("json", |document: Value| {
        serde_json::to_value(document).map_or_else(|why| why.to_string(), |document| pretty(&document))
    });
    environment.add_filter("last_part", |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned());
    environment.add_filter("digest", |text: &str| digest_hex(&[text], 16));
    environment.add_filter("quote", quote);
    environment.render_str(text, values).expect("the text has all its values")
}

pub(super) fn target_values(target: &SetupTarget) -> Value {
    context! {
        account => target.account.as_str(),
        partition => target.partition.as_str(),
        region => target.region.as_str(),
        name => target.name.as_str(),
    }
}

/// One word for a shell, whatever is in it.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
