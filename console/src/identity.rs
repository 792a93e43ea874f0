//! STS's answer: one identity, read strictly, and compared with what the notice claims.

use std::str::FromStr;

use roxmltree::{Document, Node, ParsingOptions};

use crate::{
    names::AccountId,
    notice::Notice,
    refusal::{Reason, Refusal},
    speaker::Speaker,
};

/// The namespace of the STS API, version 2011-06-15.
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// The answer has seven elements with a text in each leaf; nobody needs forty nodes.
const NODES_MAX: u32 = 40;
/// Error codes of STS are one word, the longest known has 45 letters.
const ERROR_CODE_CHARS_MAX: usize = 64;

/// Who signed the proof, as AWS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    arn: String,
    account: AccountId,
    user_id: String,
}

impl Identity {
    /// Reads a `GetCallerIdentityResponse`: exactly one identity, and nothing beside it.
    ///
    /// # Errors
    /// [`Reason::StsAnswer`], whatever is wrong with it: STS does not answer so.
    pub fn read(xml: &str) -> Result<Self, Refusal> {
        let bad = |why| Reason::StsAnswer.with(why);
        // Without a DTD there are no entities to expand.
        let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
        let document = Document::parse_with_options(xml, options).map_err(|_| bad("it is not plain XML"))?;
        if document.root().children().any(|node| !node.is_element()) {
            return Err(bad("it has more than one document element"));
        }
        let root = document.root_element();
        if !root.has_tag_name((NAMESPACE, "GetCallerIdentityResponse")) {
            return Err(bad("it is not a GetCallerIdentityResponse"));
        }
        let [result] = children(root, &["GetCallerIdentityResult"], &["ResponseMetadata"])?;
        let [arn, account, user_id] = children(result, &["Arn", "Account", "UserId"], &[])?;
        Ok(Self {
            user_id: text(user_id)?.to_owned(),
            arn: text(arn)?.to_owned(),
            account: AccountId::from_str(text(account)?).map_err(|_| bad("its account is not an account id"))?,
        })
    }

    /// The principal that speaks in this notice: of the notice's account everywhere, and a role's session, which is what a handler
    /// runs as, or an IAM user, as which a person may run `hawser connect`. The root user and federated users run neither.
    ///
    /// # Errors
    /// [`Reason::Identity`] with the difference.
    pub fn speaker(self, notice: &Notice) -> Result<Speaker, Refusal> {
        let require = |holds: bool, why: &'static str| if holds { Ok(()) } else { Err(Reason::Identity.with(why)) };
        require(self.account == *notice.account(), "another account")?;
        let parts: Vec<&str> = self.arn.splitn(6, ':').collect();
        let ["arn", partition, service, "", account, resource] = parts.as_slice() else {
            return Err(Reason::Identity.with("not an ARN of a principal"));
        };
        require(*partition == notice.stack.partition.as_str(), "another partition")?;
        require(*account == notice.account().as_str(), "a principal of another account")?;
        let (path, id): (Vec<&str>, Vec<&str>) = (resource.split('/').collect(), self.user_id.split(':').collect());
        // IAM user guide, "IAM identifiers": the prefix says what it is.
        let id = match (*service, path.as_slice(), id.as_slice()) {
            ("sts", ["assumed-role", role, session], [id, named])
                if !role.is_empty() && !session.is_empty() && session == named && id.starts_with("AROA") =>
            {
                id
            }
            ("iam", ["user", names @ ..], [id])
                if !names.is_empty() && names.iter().all(|name| !name.is_empty()) && id.starts_with("AIDA") =>
            {
                id
            }
            _ => return Err(Reason::Identity.with("neither a role's session nor a user")),
        };
        Ok(Speaker { id: (*id).to_owned(), arn: self.arn, bearer: None })
    }
}

/// The elements below a node: each of `required` exactly once, each of `optional` at most once, no other, and no text
/// between them. Returned in the order of `required`.
fn children<'a, 'i, const N: usize>(
    node: Node<'a, 'i>,
    required: &[&str; N],
    optional: &[&str],
) -> Result<[Node<'a, 'i>; N], Refusal> {
    let mut found = [node; N];
    let mut seen = Vec::new();
    for child in node.children() {
        if child.is_text() && child.text().is_some_and(|t| t.trim().is_empty()) {
            continue;
        }
        let name = child.tag_name().name();
        if !child.is_element() || child.tag_name().namespace() != Some(NAMESPACE) || seen.contains(&name) {
            return Err(Reason::StsAnswer.with("it has a repeated or an unknown element"));
        }
        match required.iter().position(|r| *r == name) {
            Some(at) => found[at] = child,
            None if optional.contains(&name) => {}
            None => return Err(Reason::StsAnswer.with("it has an unknown element")),
        }
        seen.push(name);
    }
    if required.iter().all(|name| seen.contains(name)) { Ok(found) } else { Err(Reason::StsAnswer.with("it has no identity")) }
}

/// The text of a leaf: one piece of it, not cut by comments or elements.
fn text<'a>(leaf: Node<'a, '_>) -> Result<&'a str, Refusal> {
    let mut pieces = leaf.children();
    match (pieces.next(), pieces.next()) {
        (Some(piece), None) if piece.is_text() => piece.text().filter(|t| !t.trim().is_empty()),
        _ => None,
    }
    .ok_or_else(|| Reason::StsAnswer.with("it has an element that is not plain text"))
}

/// The code in STS's `ErrorResponse`, for people; STS's words are not repeated, they may hold parts of the request.
pub fn error_code(xml: &str) -> String {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let code = Document::parse_with_options(xml, options).ok().and_then(|document| {
        let code = document.descendants().find(|node| node.has_tag_name((NAMESPACE, "Code")))?;
        let word = code.text()?.to_owned();
        let legal = word.chars().all(|c| c.is_ascii_alphanumeric()) && word.len() <= ERROR_CODE_CHARS_MAX;
        legal.then_some(word)
    });
    code.unwrap_or_else(|| "no code".to_owned())
}
