//! Who asks for something, and whose data it may see and change. Pure.
//!
//! Every question to the store about a customer's data takes an [`Access`], so that none can be asked without saying whose.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::CustomerId;

/// Whose data may be seen and changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Customers {
    All,
    One(CustomerId),
}

impl Customers {
    /// Whether this customer's are among them.
    pub fn include(&self, customer_id: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one.as_str() == customer_id,
        }
    }
}

/// Who did what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// This program by itself.
    Console,
    /// A person on this machine.
    Operator,
    /// The holder of the API token with this id.
    Token(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Console => f.write_str("console"),
            Self::Operator => f.write_str("operator"),
            Self::Token(id) => write!(f, "token:{id}"),
        }
    }
}

/// Who asks, within which data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub actor: Actor,
    pub customers: Customers,
}

impl Access {
    /// The operator's: everything.
    pub fn operator() -> Self {
        Self { actor: Actor::Operator, customers: Customers::All }
    }
}

/// What a token of the API is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Lists, and what is in them.
    Read,
    /// Changes of connections.
    Manage,
    /// Making and revoking launches.
    Launch,
    /// All of that, and tokens.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Manage, Self::Launch, Self::Admin];

    /// As JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Manage => "manage",
            Self::Launch => "launch",
            Self::Admin => "admin",
        }
    }
}
