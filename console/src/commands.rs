//! What an operator does by hand: each command beside the running server, on the same database.

pub mod doctor;
pub mod output;

use std::error::Error;

use output::{Column, Output};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    access::Access,
    api_token::{ApiToken, Order},
    config::operate::{ListArgs, TokenCreateArgs},
    random,
    store::{Change, ConnectionFilter, Page, Store},
};

/// How much is read at a time.
const PAGE: u32 = 1000;

const CONNECTIONS: &[Column] = &[
    ("CONNECTION", "/connectionId"),
    ("STATE", "/state"),
    ("CUSTOMER", "/customerId"),
    ("ACCOUNT", "/data/accountId"),
    ("NAME", "/data/connectionName"),
    ("LABEL", "/label"),
    ("PROBLEM", "/problems/0/code"),
];

const TOKENS: &[Column] = &[
    ("TOKEN", "/tokenId"),
    ("NAME", "/name"),
    ("SCOPES", "/scopes"),
    ("CUSTOMER", "/customerId"),
    ("EXPIRES", "/expiresAt"),
    ("LAST USED", "/lastUsedAt"),
    ("REVOKED", "/revokedAt"),
];

/// `list`
///
/// # Errors
/// The database's, or whoever reads has gone.
pub async fn list(store: &Store, args: ListArgs, output: &mut Output, now: OffsetDateTime) -> Result<(), Box<dyn Error>> {
    let filter = ConnectionFilter {
        customer_id: args.customer_id.map(|id| id.as_str().to_owned()),
        account_id: args.account_id.map(|id| id.as_str().to_owned()),
        states: args.states,
        text: args.text,
    };
    let mut page = Page { after: None, limit: PAGE };
    loop {
        let listed = store.connections(&Access::operator(), &filter, page, now).await?;
        let rows: Vec<Value> = listed.items.into_iter().map(|one| json!(one.without_external_ids())).collect();
        output.rows(CONNECTIONS, &rows)?;
        page.after = listed.next;
        if page.after.is_none() {
            return Ok(());
        }
    }
}

/// `show`
///
/// # Errors
/// There is none, or the database's.
pub async fn show(store: &Store, id: &str, output: &mut Output, now: OffsetDateTime) -> Result<(), Box<dyn Error>> {
    let shown = store.connection(&Access::operator(), id, now).await?;
    output.one(&json!(shown.ok_or_else(|| format!("no connection has the id `{id}`"))?))
}

/// `verify`
///
/// # Errors
/// There is none, or the database's.
pub async fn verify(store: &Store, id: &str, output: &mut Output, now: OffsetDateTime) -> Result<(), Box<dyn Error>> {
    if !store.change(&Access::operator(), id, &Change::Verify, now).await? {
        return Err(format!("no connection has the id `{id}`").into());
    }
    output.one(&json!({"connectionId": id, "requested": true}))
}

/// `token create`
///
/// # Errors
/// What is asked for cannot be, or the database's.
pub async fn create_token(
    store: &Store,
    args: TokenCreateArgs,
    output: &mut Output,
    now: OffsetDateTime,
) -> Result<(), Box<dyn Error>> {
    let TokenCreateArgs { name, scopes, customer_id, expires_in_days, .. } = args;
    let order = Order { name, scopes: scopes.into_iter().collect(), customer_id, expires_in_days };
    let entropy = random::bytes().ok_or("the operating system provided no randomness")?;
    let (made, text) = ApiToken::new(&entropy, order, now)?;
    store.add_token(&Access::operator(), &made, &text, None).await?;
    let mut shown = json!(made);
    shown["token"] = text.expose().into();
    output.one(&shown)
}

/// `token list`
///
/// # Errors
/// The database's.
pub async fn list_tokens(store: &Store, output: &mut Output) -> Result<(), Box<dyn Error>> {
    let mut page = Page { after: None, limit: PAGE };
    loop {
        let listed = store.tokens(&Access::operator(), page).await?;
        output.rows(TOKENS, &listed.items.iter().map(|token| json!(token)).collect::<Vec<_>>())?;
        page.after = listed.next;
        if page.after.is_none() {
            return Ok(());
        }
    }
}

/// `token revoke`
///
/// # Errors
/// There is none, or the database's.
pub async fn revoke_token(store: &Store, id: &str, output: &mut Output, now: OffsetDateTime) -> Result<(), Box<dyn Error>> {
    if !store.revoke_token(&Access::operator(), id, now).await? {
        return Err(format!("no token has the id `{id}`").into());
    }
    output.one(&json!({"tokenId": id, "revoked": true}))
}
