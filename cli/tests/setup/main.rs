//! The template, and every setup method: each makes what the template makes, and says what it does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "../../../tests/support/canned.rs"]
mod canned;
#[path = "../support/mod.rs"]
mod support;

mod actions;
mod command_line;
mod connect;
mod connect_sdk;
mod credentials;
mod fake_iam;
mod handler_role;
mod methods;
mod organization;
mod preflight;
mod script;
mod template_module;
mod template_yaml;
mod terraform;
mod terraform_schema;

use std::collections::BTreeMap;

use hawser_cli::template::ResolveContext;

const ACCOUNT: &str = "111122223333";
const VENDOR: [(&str, &str); 2] = [("VendorAccountId", "999988887777"), ("ExternalId", "customer-4711")];
const TOKEN: &str = "whsec_dGhpcyBpcyBub3QgYSBzZWNyZXQsIGl0IGlzIGEgdGVzdA==";

fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A stack with these parameters.
fn context(pairs: &[(&str, &str)]) -> ResolveContext {
    ResolveContext {
        parameters: parameters(pairs),
        account_id: ACCOUNT.to_owned(),
        partition: "aws".to_owned(),
        region: "eu-west-1".to_owned(),
        stack_name: "acme".to_owned(),
        stack_id: "arn:aws:cloudformation:eu-west-1:111122223333:stack/acme/5e0c1b70".to_owned(),
        ..ResolveContext::default()
    }
}
