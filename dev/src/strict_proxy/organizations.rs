//! Organizations as the scenario has it: the emulator makes every account the management account of its own organization, and
//! knows neither billing transfers nor delegated administrators of others.

use hawser::aws::{BillingTransfer, Direction, Organization};
use hawser_account::organizations::not_in_use;
use serde_json::{Value, json};

use super::{
    paging, scenario,
    shared::{AwsCall, Shared},
    wire::AwsError,
};

/// The answer to a call that IAM allows; nothing where the emulator's own will do.
pub(super) fn answer(shared: &Shared, aws_call: &AwsCall) -> Result<Option<Value>, AwsError> {
    let (account, operation) = (aws_call.account.as_str(), aws_call.operation.as_str());
    if shared.scenario().organizations.get(account) == Some(&scenario::Organization::Denied) {
        let text = format!(
            "User: arn:aws:iam::{account}:root is not authorized to perform: organizations:{operation} on resource: * \
             with an explicit deny in a service control policy"
        );
        return Err(AwsError::new(400, "AccessDeniedException", text));
    }
    let transfers = |direction| {
        let transfers = shared.ask(aws_call, |services| services.billing_transfers(direction))?;
        let written = |(number, transfer)| transferred(account, number, transfer, direction);
        list(aws_call, "ResponsibilityTransfers", transfers.iter().enumerate().map(written).collect())
    };
    match operation {
        "DescribeOrganization" => {
            let known = shared.ask(aws_call, |services| services.describe_organization()?.ok_or_else(not_in_use))?;
            Ok(Some(organization(&known)))
        }
        "ListDelegatedServicesForAccount" => {
            let services = shared.ask(aws_call, |services| services.delegated_services(aws_call.text("AccountId")))?;
            let services = services.iter().map(|name| json!({"ServicePrincipal": name, "DelegationEnabledDate": DELEGATED_AT}));
            list(aws_call, "DelegatedServices", services.collect())
        }
        "ListInboundResponsibilityTransfers" => transfers(Direction::Inbound),
        "ListOutboundResponsibilityTransfers" => transfers(Direction::Outbound),
        _ => shared.ask(aws_call, |services| services.check_management()).map(|()| None),
    }
}

/// Some time in the past.
const DELEGATED_AT: i64 = 1_700_000_000;

fn list(aws_call: &AwsCall, member: &str, items: Vec<Value>) -> Result<Option<Value>, AwsError> {
    paging::list(aws_call, member, items, paging::SMALL)
        .map(Some)
        .map_err(|_| AwsError::new(400, "InvalidInputException", "You specified an invalid value for NextToken."))
}

fn transferred(account: &str, number: usize, transfer: &BillingTransfer, direction: Direction) -> Value {
    let other = transfer.other.as_ref().map_or("", |other| other.as_str());
    let participant = |id: &str| json!({"ManagementAccountId": id, "ManagementAccountEmail": format!("payer+{id}@example.com")});
    let (word, source, target) = match direction {
        Direction::Inbound => ("inbound", other, account),
        Direction::Outbound => ("outbound", account, other),
    };
    let (id, organization) = (format!("rt-{number:08}"), scenario::organization_id(account));
    let mut one = json!({
        "Arn": format!("arn:aws:organizations::{account}:transfer/{organization}/billing/{word}/{id}"),
        "Name": "Billing", "Id": id, "Type": "BILLING", "Status": transfer.status,
        "Source": participant(source), "Target": participant(target),
    });
    for (member, time) in [("StartTimestamp", transfer.start), ("EndTimestamp", transfer.end)] {
        if let Some(time) = time {
            one[member] = json!(time.unix_timestamp());
        }
    }
    one
}

fn organization(known: &Organization) -> Value {
    let Organization { id, management_account, feature_set } = known;
    let payer = management_account.as_ref().map_or("", |payer| payer.as_str());
    json!({"Organization": {
        "Id": id, "Arn": format!("arn:aws:organizations::{payer}:organization/{id}"), "FeatureSet": feature_set,
        "MasterAccountArn": format!("arn:aws:organizations::{payer}:account/{id}/{payer}"), "MasterAccountId": payer,
        "MasterAccountEmail": format!("payer+{payer}@example.com"), "AvailablePolicyTypes": [],
    }})
}
