//! Cost and Usage Reports through the SDK.

use async_trait::async_trait;
use aws_sdk_costandusagereport as cur;
use aws_smithy_types::error::operation::BuildError;

use super::{
    clients::Clients,
    fault::{fault, unreadable},
};
use crate::{
    aws::{CostReports, Fault, FaultKind, Report, Tags},
    names::ExportName,
};

#[async_trait]
impl CostReports for Clients {
    async fn describe_reports(&self) -> Result<Vec<Report>, Fault> {
        let mut reports = Vec::new();
        let mut pages = self.cur.describe_report_definitions().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|why| fault("cur:DescribeReportDefinitions", why))?;
            reports.extend(page.report_definitions.unwrap_or_default().into_iter().map(report));
        }
        Ok(reports)
    }

    async fn report_tags(&self, report: &ExportName) -> Result<Tags, Fault> {
        let answer = self.cur.list_tags_for_resource().report_name(report.as_str()).send().await;
        let answer = answer.map_err(|why| fault("cur:ListTagsForResource", why))?;
        Ok(answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    async fn put_report(&self, report: &Report, tags: &Tags) -> Result<(), Fault> {
        let action = "cur:PutReportDefinition";
        let tags = (!tags.is_empty()).then(|| self::tags(tags)).transpose().map_err(|_| unreadable(action))?;
        let definition = definition(report).map_err(|_| unreadable(action))?;
        let answer = self.cur.put_report_definition().report_definition(definition).set_tags(tags).send().await;
        answer.map(|_| ()).map_err(|why| fault(action, why))
    }

    async fn tag_report(&self, report: &ExportName, tags: &Tags) -> Result<(), Fault> {
        let action = "cur:TagResource";
        let tags = self::tags(tags).map_err(|_| unreadable(action))?;
        let answer = self.cur.tag_resource().report_name(report.as_str()).set_tags(Some(tags)).send().await;
        answer.map(|_| ()).map_err(|why| fault(action, why))
    }

    async fn delete_report(&self, report: &ExportName) -> Result<(), Fault> {
        let answer = self.cur.delete_report_definition().report_name(report.as_str()).send().await;
        let Err(why) = answer else { return Ok(()) };
        let fault = fault("cur:DeleteReportDefinition", why);
        // The API has no "not found": a missing report is a ValidationException like any other, so it is looked for.
        let doubtful = matches!(fault.kind, FaultKind::Refused | FaultKind::Missing);
        if doubtful && !self.describe_reports().await?.iter().any(|known| known.name == report.as_str()) {
            return Ok(());
        }
        Err(fault)
    }
}

fn tags(tags: &Tags) -> Result<Vec<cur::types::Tag>, BuildError> {
    tags.iter().map(|(key, value)| cur::types::Tag::builder().key(key).value(value).build()).collect()
}

fn report(known: cur::types::ReportDefinition) -> Report {
    let status = known.report_status;
    Report {
        name: known.report_name,
        time_unit: known.time_unit.as_str().to_owned(),
        format: known.format.as_str().to_owned(),
        compression: known.compression.as_str().to_owned(),
        elements: known.additional_schema_elements.iter().map(|e| e.as_str().to_owned()).collect(),
        bucket: known.s3_bucket,
        prefix: known.s3_prefix,
        region: known.s3_region.as_str().to_owned(),
        artifacts: known.additional_artifacts.unwrap_or_default().iter().map(|a| a.as_str().to_owned()).collect(),
        versioning: known.report_versioning.map(|v| v.as_str().to_owned()).unwrap_or_default(),
        refresh_closed: known.refresh_closed_reports.unwrap_or_default(),
        billing_view: known.billing_view_arn.filter(|view| !view.is_empty()),
        last_status: status.as_ref().and_then(|s| Some(s.last_status.as_ref()?.as_str().to_owned())),
        last_delivery: status.and_then(|s| s.last_delivery),
    }
}

fn definition(report: &Report) -> Result<cur::types::ReportDefinition, BuildError> {
    cur::types::ReportDefinition::builder()
        .report_name(&report.name)
        .time_unit(report.time_unit.as_str().into())
        .format(report.format.as_str().into())
        .compression(report.compression.as_str().into())
        .set_additional_schema_elements(Some(report.elements.iter().map(|e| e.as_str().into()).collect()))
        .s3_bucket(&report.bucket)
        .s3_prefix(&report.prefix)
        .s3_region(report.region.as_str().into())
        .set_additional_artifacts(Some(report.artifacts.iter().map(|a| a.as_str().into()).collect()))
        .report_versioning(report.versioning.as_str().into())
        .refresh_closed_reports(report.refresh_closed)
        .set_billing_view_arn(report.billing_view.clone())
        .build()
}
