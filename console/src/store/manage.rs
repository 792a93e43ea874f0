//! What an operator, or a program with a token, does with a connection or a launch. Each change is in the history with who did it.

use serde_json::json;
use time::OffsetDateTime;

use super::{
    error::StoreError,
    history::{Source, record, set_problems, settle, settle_for},
    jobs,
    once::{Made, Once},
    open::Store,
    rows::{connection_row, flag, nanos, storable, write},
    writes::{forget_candidates, save_connection},
};
use crate::{
    access::Access,
    connection::Connection,
    job::Kind,
    launch::{Audience, Launch},
    names::AccountId,
};

/// What an operator changes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The operator's own name for it; None takes it away.
    Label(Option<String>),
    /// Its role is neither tested nor, by the vendor's own products, used, until it is resumed.
    Pause,
    Resume,
    /// Its role is tested now, and not within a day.
    Verify,
    /// It ends, because its stack cannot end it: whatever the stack sends is refused from now on.
    Disconnect,
}

impl Store {
    /// Stores a new launch, once where its request has an idempotency key.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_launch(
        &self,
        access: &Access,
        launch: &Launch,
        once: Option<&Once>,
        now: OffsetDateTime,
    ) -> Result<Made, StoreError> {
        let terms = &launch.terms;
        let (account, organization) = match &terms.audience {
            Audience::Stack(account) => (account.as_ref(), None),
            Audience::Organization(organization) => (None, Some(organization)),
        };
        let customer_id = terms.customer_id.as_str();
        let mut transaction = self.database.begin(once.map_or(customer_id, |once| &once.key_id)).await?;
        if let Some(once) = once {
            let made = self.once(&mut transaction, once, now).await?;
            if made != Made::Now {
                return Ok(made);
            }
        }
        sqlx::query(
            "INSERT INTO launches (launch_id, token, external_id, customer_id, account_id, ways, handler_role_name, expires_at, \
             for_organization, organization_id, management_account_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(&launch.id)
        .bind(self.keys.seal(&launch.id, &launch.token)?)
        .bind(&launch.external_id)
        .bind(customer_id)
        .bind(account.map(AccountId::as_str))
        .bind(write(&terms.ways)?)
        .bind(&terms.handler_role_name)
        .bind(nanos(launch.expires_at)?)
        .bind(flag(organization.is_some()))
        .bind(organization.map(|organization| organization.id.as_str()))
        .bind(organization.map(|organization| organization.management_account_id.as_str()))
        .execute(&mut *transaction)
        .await?;
        let data = json!({"launchId": launch.id});
        record(&mut transaction, ("", customer_id), access.actor.clone(), "launch.made", data, now).await?;
        transaction.commit().await?;
        Ok(Made::Now)
    }

    /// Changes a connection. False where there is none of this id that who asks may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn change(
        &self,
        access: &Access,
        connection_id: &str,
        change: &Change,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let Some(row) = connection_row(&self.database.pool, connection_id).await? else { return Ok(false) };
        if !access.customers.include(&row.customer_id) {
            return Ok(false);
        }
        let mut transaction = self.database.begin(&row.customer_id).await?;
        let Some(row) = connection_row(&mut *transaction, connection_id).await? else { return Ok(false) };
        let customer_id = row.customer_id.clone();
        let subject = (connection_id, customer_id.as_str());
        match change {
            Change::Label(label) if row.label != *label => {
                sqlx::query("UPDATE connections SET label = $1 WHERE connection_id = $2")
                    .bind(label.as_deref().map(storable))
                    .bind(connection_id)
                    .execute(&mut *transaction)
                    .await?;
                let data = json!({"before": row.label, "label": label});
                record(&mut transaction, subject, access.actor.clone(), "connection.renamed", data, now).await?;
            }
            Change::Pause | Change::Resume if row.paused_at.is_some() != (*change == Change::Pause) => {
                let pauses = *change == Change::Pause;
                sqlx::query("UPDATE connections SET paused_at = $1 WHERE connection_id = $2")
                    .bind(pauses.then(|| nanos(now)).transpose()?)
                    .bind(connection_id)
                    .execute(&mut *transaction)
                    .await?;
                if !pauses {
                    record(&mut transaction, subject, access.actor.clone(), "connection.resumed", json!({}), now).await?;
                    jobs::request(&mut transaction, Kind::Verify, connection_id, now).await?;
                }
            }
            Change::Verify => {
                record(&mut transaction, subject, access.actor.clone(), "connection.verification-requested", json!({}), now)
                    .await?;
                set_problems(&mut transaction, subject, Source::Jobs, &[], now).await?;
                jobs::request(&mut transaction, Kind::Verify, connection_id, now).await?;
            }
            Change::Disconnect => {
                let connection = Connection::try_from(row)?;
                if connection.ended_at.is_none() {
                    save_connection(&mut transaction, &connection.ended(now), now).await?;
                    record(&mut transaction, subject, access.actor.clone(), "connection.disconnected", json!({}), now).await?;
                }
            }
            // It is so already.
            Change::Label(_) | Change::Pause | Change::Resume => {}
        }
        settle_for(&mut transaction, connection_id, access.actor.clone(), now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Ends a launch: from now on it is good for nothing but removals, and roles that asked to speak with it are forgotten. False where there is none of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn revoke(&self, access: &Access, launch_id: &str, now: OffsetDateTime) -> Result<bool, StoreError> {
        let customer: Option<String> = sqlx::query_scalar("SELECT customer_id FROM launches WHERE launch_id = $1")
            .bind(storable(launch_id))
            .fetch_optional(&self.database.pool)
            .await?;
        let Some(customer) = customer.filter(|customer| access.customers.include(customer)) else { return Ok(false) };
        let mut transaction = self.database.begin(&customer).await?;
        let revoked = sqlx::query("UPDATE launches SET revoked_at = $1 WHERE launch_id = $2 AND revoked_at IS NULL")
            .bind(nanos(now)?)
            .bind(launch_id)
            .execute(&mut *transaction)
            .await?;
        if revoked.rows_affected() > 0 {
            let data = json!({"launchId": launch_id});
            record(&mut transaction, ("", &customer), access.actor.clone(), "launch.revoked", data, now).await?;
        }
        forget_candidates(&mut transaction, launch_id, now).await?;
        // What another connection is contested with counts no more.
        let contested: Vec<String> =
            sqlx::query_scalar("SELECT connection_id FROM connections WHERE launch_id = $1 AND contested_with IS NOT NULL")
                .bind(launch_id)
                .fetch_all(&mut *transaction)
                .await?;
        for id in contested {
            settle(&mut transaction, &id, now).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}
