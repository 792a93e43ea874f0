//! Organizations as the scenario has it: the emulator makes every account the management account of its own organization, and
//! knows neither billing transfers nor delegated administrators of others.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    AwsCall, Shared, paging,
    scenario::{BillingTransfer, Direction, Organization},
    wire::{Answer, AwsError, respond_json},
};

/// The answer to a call that IAM allows; nothing where the emulator's own will do.
pub(super) fn after(shared: &Shared, aws_call: &AwsCall) -> Result<Option<Answer>, AwsError> {
    let (account, operation) = (aws_call.account.as_str(), aws_call.operation.as_str());
    let place = shared.scenario().organizations.get(account).cloned().unwrap_or_default();
    let no_access = || AwsError::new(400, "AccessDeniedException", "You don't have permissions to access this resource.");
    let (payer, feature_set, transfers, services) = match place {
        Organization::None => {
            let text = "Your account is not a member of an organization.";
            return Err(AwsError::new(400, "AWSOrganizationsNotInUseException", text));
        }
        Organization::Denied => {
            let text = format!(
                "User: arn:aws:iam::{account}:root is not authorized to perform: organizations:{operation} on resource: * \
                 with an explicit deny in a service control policy"
            );
            return Err(AwsError::new(400, "AccessDeniedException", text));
        }
        Organization::Management { feature_set, billing_transfers } => {
            (account.to_owned(), feature_set, billing_transfers, Vec::new())
        }
        Organization::Member { management_account_id, feature_set, delegated_services } => {
            (management_account_id, feature_set, Vec::new(), delegated_services)
        }
    };
    match operation {
        "DescribeOrganization" => Ok(Some(organization(&payer, &feature_set))),
        // For the management account and for delegated administrators only.
        "ListDelegatedServicesForAccount" if payer != account && services.is_empty() => Err(no_access()),
        "ListDelegatedServicesForAccount" if aws_call.input["AccountId"] != account || services.is_empty() => {
            let text = "The specified account is not a delegated administrator for any service.";
            Err(AwsError::new(400, "AccountNotRegisteredException", text))
        }
        "ListDelegatedServicesForAccount" => {
            let services = services.iter().map(|name| json!({"ServicePrincipal": name, "DelegationEnabledDate": DELEGATED_AT}));
            list(aws_call, "DelegatedServices", services.collect())
        }
        _ if payer != account => Err(no_access()),
        "ListInboundResponsibilityTransfers" => {
            list(aws_call, "ResponsibilityTransfers", transferred(account, &transfers, Direction::Inbound))
        }
        "ListOutboundResponsibilityTransfers" => {
            list(aws_call, "ResponsibilityTransfers", transferred(account, &transfers, Direction::Outbound))
        }
        _ => Ok(None),
    }
}

/// Some time in the past.
const DELEGATED_AT: i64 = 1_700_000_000;

fn list(aws_call: &AwsCall, member: &str, items: Vec<Value>) -> Result<Option<Answer>, AwsError> {
    let (some, next) = paging::page(&aws_call.operation, items, aws_call.input["NextToken"].as_str(), paging::SMALL)
        .map_err(|_| AwsError::new(400, "InvalidInputException", "You specified an invalid value for NextToken."))?;
    let mut answer = json!({member: some});
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(Some(respond_json(&answer)))
}

fn transferred(account: &str, transfers: &[BillingTransfer], direction: Direction) -> Vec<Value> {
    let mut found = Vec::new();
    for (number, transfer) in transfers.iter().enumerate().filter(|(_, transfer)| transfer.direction == direction) {
        let participant =
            |id: &str| json!({"ManagementAccountId": id, "ManagementAccountEmail": format!("payer+{id}@example.com")});
        let (word, source, target) = match direction {
            Direction::Inbound => ("inbound", transfer.other.as_str(), account),
            Direction::Outbound => ("outbound", account, transfer.other.as_str()),
        };
        let id = format!("rt-{number:08}");
        let mut one = json!({
            "Arn": format!("arn:aws:organizations::{account}:transfer/{}/billing/{word}/{id}", organization_id(account)),
            "Name": "Billing", "Id": id, "Type": "BILLING", "Status": transfer.status,
            "Source": participant(source), "Target": participant(target), "StartTimestamp": transfer.start,
        });
        if let Some(end) = transfer.end {
            one["EndTimestamp"] = json!(end);
        }
        found.push(one);
    }
    found
}

fn organization(payer: &str, feature_set: &str) -> Answer {
    let id = organization_id(payer);
    let mut organization = Map::new();
    for (name, value) in [
        ("Id", id.clone()),
        ("Arn", format!("arn:aws:organizations::{payer}:organization/{id}")),
        ("FeatureSet", feature_set.to_owned()),
        ("MasterAccountArn", format!("arn:aws:organizations::{payer}:account/{id}/{payer}")),
        ("MasterAccountId", payer.to_owned()),
        ("MasterAccountEmail", format!("payer+{payer}@example.com")),
    ] {
        organization.insert(name.into(), json!(value));
    }
    organization.insert("AvailablePolicyTypes".into(), json!([]));
    respond_json(&json!({"Organization": organization}))
}

/// The id of the organization that an account pays for; the same in every run.
fn organization_id(payer: &str) -> String {
    format!("o-{}", &hex::encode(Sha256::digest(payer))[..10])
}
