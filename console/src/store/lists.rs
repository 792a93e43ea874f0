//! Lists: one page of what fits a filter, within what who asks may see.

use std::collections::BTreeMap;

use sqlx::{Any, AssertSqlSafe, FromRow, any::AnyRow};
use time::OffsetDateTime;

use super::{
    error::StoreError,
    history::{EventRow, ProblemRow},
    open::Store,
    rows::{ConnectionRow, LaunchRow, connection_columns, launch_columns, storable},
};
use crate::{
    access::{Access, Customers},
    launch::Launch,
    view::{ConnectionView, Event, OpenProblem, State},
};

/// Open problems that are shown with one connection: a pack has at most some dozen statements.
const PROBLEMS_SHOWN_MAX: u32 = 500;

/// Which page of a list: what comes after this place, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The place of the last one of the page before. None: from the beginning.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    pub items: Vec<T>,
    /// The place after which the next page begins. None: there is nothing more.
    pub next: Option<i64>,
}

/// Which connections are listed.
#[derive(Debug, Clone, Default)]
pub struct ConnectionFilter {
    pub customer_id: Option<String>,
    pub account_id: Option<String>,
    /// In one of these states. Empty: in any, but those of accounts that nobody confirmed.
    pub states: Vec<State>,
    /// Part of the label, the name or the account's id, in small letters or capitals.
    pub text: Option<String>,
}

/// Which launches are listed.
#[derive(Debug, Clone, Default)]
pub struct LaunchFilter {
    pub customer_id: Option<String>,
    /// Made for this account only.
    pub account_id: Option<String>,
}

/// Which open problems are listed.
#[derive(Debug, Clone, Default)]
pub struct ProblemFilter {
    pub customer_id: Option<String>,
    pub connection_id: Option<String>,
    pub code: Option<String>,
}

enum Value {
    Text(String),
    Number(i64),
}

/// A selection and its values. Its text is made of ours alone.
pub(super) struct Selection {
    text: String,
    values: Vec<Value>,
}

impl Selection {
    /// All rows of it that the conditions leave.
    pub(super) fn new(select: &str) -> Self {
        Self { text: format!("{select} WHERE 1 = 1"), values: Vec::new() }
    }

    fn place(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// Of the customers that who asks may see.
    pub(super) fn within(&mut self, access: &Access, column: &str) {
        if let Customers::One(customer) = &access.customers {
            self.is(column, Some(customer.as_str()));
        }
    }

    /// Where the column is this text, if there is one.
    pub(super) fn is(&mut self, column: &str, text: Option<&str>) {
        if let Some(text) = text {
            let place = self.place(Value::Text(storable(text)));
            self.text += &format!(" AND {column} = {place}");
        }
    }

    /// Where the column is one of these texts.
    fn is_any(&mut self, column: &str, texts: &[&str]) {
        let places: Vec<_> = texts.iter().map(|text| self.place(Value::Text(storable(text)))).collect();
        self.text += &format!(" AND {column} IN ({})", places.join(", "));
    }

    /// Where one of the columns has this text in it, in small letters or capitals.
    fn has(&mut self, columns: &[&str], text: &str) {
        let plain = ['!', '%', '_'].iter().fold(text.to_ascii_lowercase(), |text, c| text.replace(*c, &format!("!{c}")));
        let place = self.place(Value::Text(storable(&format!("%{plain}%"))));
        let conditions: Vec<_> = columns.iter().map(|column| format!("LOWER({column}) LIKE {place} ESCAPE '!'")).collect();
        self.text += &format!(" AND ({})", conditions.join(" OR "));
    }

    fn beside(&mut self, condition: &str) {
        self.text += &format!(" AND {condition}");
    }

    async fn rows<T>(self, store: &Store, order: &str) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
    {
        let mut query = sqlx::query_as::<Any, T>(AssertSqlSafe(format!("{} ORDER BY {order}", self.text)));
        for value in self.values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
            };
        }
        Ok(query.fetch_all(&store.database.pool).await?)
    }

    /// One page in the order of this column, which is a number of each row's own; `place` reads it.
    pub(super) async fn page<T>(
        mut self,
        store: &Store,
        (column, newest_first): (&str, bool),
        page: Page,
        place: impl Fn(&T) -> i64,
    ) -> Result<Listed<T>, StoreError>
    where
        T: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
    {
        let (comparison, order) = if newest_first { ("<", " DESC") } else { (">", "") };
        if let Some(after) = page.after {
            let after = self.place(Value::Number(after));
            self.text += &format!(" AND {column} {comparison} {after}");
        }
        // One more than asked for tells whether there is a next page.
        let limit = self.place(Value::Number(i64::from(page.limit) + 1));
        let mut items: Vec<T> = self.rows(store, &format!("{column}{order} LIMIT {limit}")).await?;
        let size = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let next = if more { items.last().map(place) } else { None };
        Ok(Listed { items, next })
    }
}

impl Store {
    /// Connections in the order they were made, as they stand now.
    ///
    /// # Errors
    /// The database's.
    pub async fn connections(
        &self,
        access: &Access,
        filter: &ConnectionFilter,
        page: Page,
        now: OffsetDateTime,
    ) -> Result<Listed<ConnectionView>, StoreError> {
        let mut selection = Selection::new(connection_columns!());
        selection.within(access, "c.customer_id");
        selection.is("c.customer_id", filter.customer_id.as_deref());
        selection.is("c.account_id", filter.account_id.as_deref());
        if !filter.states.is_empty() {
            selection.is_any("c.state", &filter.states.iter().map(|state| state.as_str()).collect::<Vec<_>>());
        }
        if !filter.states.contains(&State::Unconfirmed) {
            selection.beside("c.unconfirmed = 0");
        }
        if let Some(text) = &filter.text {
            selection.has(&["c.label", "c.connection_name", "c.account_id"], text);
        }
        let Listed { items, next } =
            selection.page(self, ("c.sequence", false), page, |row: &ConnectionRow| row.sequence).await?;
        let ids: Vec<_> = items.iter().map(|row| row.connection_id.as_str()).collect();
        let mut problems = self.problems_of(&ids).await?;
        let views: Result<_, _> = items
            .into_iter()
            .map(|row| {
                let of_this = problems.remove(&row.connection_id).unwrap_or_default();
                row.view(of_this, now)
            })
            .collect();
        Ok(Listed { items: views?, next })
    }

    /// One connection, as it stands now.
    ///
    /// # Errors
    /// The database's.
    pub async fn connection(
        &self,
        access: &Access,
        connection_id: &str,
        now: OffsetDateTime,
    ) -> Result<Option<ConnectionView>, StoreError> {
        let mut selection = Selection::new(connection_columns!());
        selection.within(access, "c.customer_id");
        selection.is("c.connection_id", Some(connection_id));
        let Some(row) = selection.rows::<ConnectionRow>(self, "c.sequence").await?.pop() else { return Ok(None) };
        let filter = ProblemFilter { connection_id: Some(connection_id.to_owned()), ..ProblemFilter::default() };
        let problems = self.problems(access, &filter, Page { after: None, limit: PROBLEMS_SHOWN_MAX }).await?;
        Ok(Some(row.view(problems.items, now)?))
    }

    /// What is wrong with connections now, what opened first first.
    ///
    /// # Errors
    /// The database's.
    pub async fn problems(&self, access: &Access, filter: &ProblemFilter, page: Page) -> Result<Listed<OpenProblem>, StoreError> {
        let mut selection = Selection::new("SELECT p.* FROM problems p");
        selection.beside("p.closed_at IS NULL");
        selection.within(access, "p.customer_id");
        selection.is("p.customer_id", filter.customer_id.as_deref());
        selection.is("p.connection_id", filter.connection_id.as_deref());
        selection.is("p.code", filter.code.as_deref());
        let Listed { items, next } =
            selection.page(self, ("p.problem_id", false), page, |row: &ProblemRow| row.problem_id).await?;
        Ok(Listed { items: items.into_iter().map(OpenProblem::try_from).collect::<Result<_, _>>()?, next })
    }

    /// What is wrong with these connections, by connection.
    async fn problems_of(&self, connection_ids: &[&str]) -> Result<BTreeMap<String, Vec<OpenProblem>>, StoreError> {
        let mut problems: BTreeMap<String, Vec<OpenProblem>> = BTreeMap::new();
        if connection_ids.is_empty() {
            return Ok(problems);
        }
        let mut selection = Selection::new("SELECT p.* FROM problems p");
        selection.beside("p.closed_at IS NULL");
        selection.is_any("p.connection_id", connection_ids);
        for row in selection.rows::<ProblemRow>(self, "p.problem_id").await? {
            problems.entry(row.connection_id.clone()).or_default().push(row.try_into()?);
        }
        Ok(problems)
    }

    /// What happened to a connection, the newest first. None where there is no such connection.
    ///
    /// # Errors
    /// The database's.
    pub async fn history(&self, access: &Access, connection_id: &str, page: Page) -> Result<Option<Listed<Event>>, StoreError> {
        let mut selection = Selection::new("SELECT e.* FROM events e");
        selection.within(access, "e.customer_id");
        selection.is("e.connection_id", Some(connection_id));
        let Listed { items, next } = selection.page(self, ("e.sequence", true), page, |row: &EventRow| row.sequence).await?;
        // A connection has the event that made it.
        if items.is_empty() && page.after.is_none() {
            return Ok(None);
        }
        Ok(Some(Listed { items: items.into_iter().map(Event::try_from).collect::<Result<_, _>>()?, next }))
    }

    /// Launches in the order they were made.
    ///
    /// # Errors
    /// The database's.
    pub async fn launches(&self, access: &Access, filter: &LaunchFilter, page: Page) -> Result<Listed<Launch>, StoreError> {
        let mut selection = launches(access);
        selection.is("l.customer_id", filter.customer_id.as_deref());
        selection.is("l.account_id", filter.account_id.as_deref());
        let Listed { items, next } = selection.page(self, ("l.sequence", false), page, |row: &LaunchRow| row.sequence).await?;
        Ok(Listed { items: items.into_iter().map(|row| row.open(&self.keys)).collect::<Result<_, _>>()?, next })
    }

    /// One launch.
    ///
    /// # Errors
    /// The database's.
    pub async fn launch(&self, access: &Access, launch_id: &str) -> Result<Option<Launch>, StoreError> {
        let mut selection = launches(access);
        selection.is("l.launch_id", Some(launch_id));
        let row = selection.rows::<LaunchRow>(self, "l.sequence").await?.pop();
        row.map(|row| row.open(&self.keys)).transpose()
    }
}

/// Of an organization's launch none of its stacks is meant.
fn launches(access: &Access) -> Selection {
    let mut selection = Selection::new(concat!(
        launch_columns!(),
        " LEFT JOIN launch_uses u ON u.launch_id = l.launch_id AND l.for_organization = 0"
    ));
    selection.within(access, "l.customer_id");
    selection
}
