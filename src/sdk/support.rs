//! AWS Support through the SDK.

use async_trait::async_trait;
use aws_sdk_support as support;
use aws_smithy_types::retry::RetryConfig;
use time::OffsetDateTime;

use super::{
    clients::Clients,
    fault::{fault, incomplete},
};
use crate::{
    aws::{Fault, NewCase, Support, SupportCase, SupportService},
    names::rfc3339,
};

/// What `CreateCase` calls a case that any account may open, unlike `technical` ones.
const ISSUE_TYPE: &str = "customer-service";

#[async_trait]
impl Support for Clients {
    async fn support_services(&self) -> Result<Vec<SupportService>, Fault> {
        let answer = self.support.describe_services().send().await.map_err(|why| fault("support:DescribeServices", why))?;
        let services = answer.services.unwrap_or_default().into_iter().map(|service| SupportService {
            code: service.code.unwrap_or_default(),
            name: service.name.unwrap_or_default(),
            categories: service
                .categories
                .unwrap_or_default()
                .into_iter()
                .map(|category| (category.code.unwrap_or_default(), category.name.unwrap_or_default()))
                .collect(),
        });
        Ok(services.collect())
    }

    async fn support_severities(&self) -> Result<Vec<String>, Fault> {
        let answer = self.support.describe_severity_levels().send().await;
        let answer = answer.map_err(|why| fault("support:DescribeSeverityLevels", why))?;
        Ok(answer.severity_levels.unwrap_or_default().into_iter().filter_map(|level| level.code).collect())
    }

    async fn support_cases(&self, after: OffsetDateTime) -> Result<Vec<SupportCase>, Fault> {
        let request = self.support.describe_cases().include_resolved_cases(true).include_communications(false);
        let mut cases = request.after_time(rfc3339(after)).into_paginator().items().send();
        let mut all = Vec::new();
        while let Some(case) = cases.next().await {
            let case = case.map_err(|why| fault("support:DescribeCases", why))?;
            let display_id = case.display_id.or(case.case_id).unwrap_or_default();
            all.push(SupportCase { display_id, subject: case.subject.unwrap_or_default() });
        }
        Ok(all)
    }

    async fn open_case(&self, case: &NewCase) -> Result<String, Fault> {
        let action = "support:CreateCase";
        let request = self.support.create_case().issue_type(ISSUE_TYPE).language("en");
        let request = request.service_code(&case.service).category_code(&case.category).severity_code(&case.severity);
        // Never repeated by the SDK: AWS would open a second case.
        let once = support::Config::builder().retry_config(RetryConfig::disabled());
        let request = request.subject(&case.subject).communication_body(&case.body);
        let answer = request.customize().config_override(once).send().await;
        answer.map_err(|why| fault(action, why))?.case_id.ok_or_else(|| incomplete(action))
    }
}
