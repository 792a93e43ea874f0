//! What AWS delivers: data and manifests where AWS lays them, and what it then says of reports and exports.
//!
//! Sources: Cost and Usage Reports User Guide, "Understanding your report versions" and "Setting up Athena"; Data Exports
//! User Guide, "Understanding export delivery".

use hawser::{
    aws::{Execution, Report},
    names::rfc3339,
};
use hawser_account::{
    ACCOUNT, AccountState,
    buckets::Object,
    exports::EXPORT_SERVICE,
    file::compact,
    freedoms::PartitionCase,
    reports::REPORT_SERVICE,
    services::Exported,
    tables::{columns_of, uuid},
};
use serde_json::{Value, json};
use time::{Date, Month, OffsetDateTime, macros::format_description};

use crate::third_party::ThirdPartyState;

/// One more file each so many days of a month.
const DAYS_PER_FILE: u8 = 10;

/// Bytes of a file of the first day of a month.
const BYTES_PER_DAY: u64 = 40_000;

/// One delivery.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery {
    /// Any day of the month that is delivered.
    pub(super) period: Date,
    pub(super) at: OffsetDateTime,
}

/// A key and what lies under it.
type Written = (String, Object);

impl ThirdPartyState {
    /// AWS delivers a month to every report's and every export's bucket, or says why it could not.
    pub(super) fn deliver(&mut self, state: &mut AccountState, delivery: Delivery) {
        self.acts += 1;
        for (name, (report, _)) in &mut state.reports {
            let bucket = state.buckets.get_mut(&report.bucket);
            let gone = bucket.is_none();
            match bucket.filter(|bucket| bucket.owner.is_none() && bucket.admits(REPORT_SERVICE, ACCOUNT)) {
                Some(bucket) => {
                    report.last_status = Some("SUCCESS".to_owned());
                    report.last_delivery = Some(compact(delivery.at));
                    let written = of_report(report, delivery);
                    bucket.objects.extend(written.iter().cloned());
                    self.keep(&report.bucket, written);
                }
                None => report.last_status = Some(if gone { "ERROR_NO_BUCKET" } else { "ERROR_PERMISSIONS" }.to_owned()),
            }
            if let Some((theirs, _)) = self.theirs.reports.get_mut(name) {
                theirs.clone_from(report);
            }
        }
        for (arn, known) in &mut state.exports {
            let reason = known.export.status.reason.as_deref();
            // Whatever else ails an export is not mended by a bucket.
            if reason.is_some_and(|reason| reason != NOT_PERMITTED) {
                continue;
            }
            let bucket = state.buckets.get_mut(&known.export.bucket);
            match bucket.filter(|bucket| bucket.owner == known.export.bucket_owner && bucket.admits(EXPORT_SERVICE, ACCOUNT)) {
                Some(bucket) => {
                    known.export.status.last_refreshed_at = Some(rfc3339(delivery.at));
                    say(known, delivery.at, "HEALTHY", "DELIVERY_SUCCESS", None);
                    let written = of_export(known, delivery, self.partition);
                    bucket.objects.extend(written.iter().cloned());
                    self.keep(&known.export.bucket, written);
                }
                None => say(known, delivery.at, "UNHEALTHY", "DELIVERY_FAILURE", Some(NOT_PERMITTED)),
            }
            if let Some(theirs) = self.theirs.exports.get_mut(arn) {
                theirs.clone_from(known);
            }
        }
    }

    /// What was delivered is the owner's of the bucket.
    fn keep(&mut self, bucket: &str, written: Vec<Written>) {
        match self.theirs.buckets.get_mut(bucket) {
            Some(theirs) => theirs.objects.extend(written),
            None => self.delivered.extend(written.into_iter().map(|(key, _)| (bucket.to_owned(), key))),
        }
    }
}

const NOT_PERMITTED: &str = "INSUFFICIENT_PERMISSION";

/// What AWS says of an export after a run of it.
fn say(known: &mut Exported, at: OffsetDateTime, status: &str, execution: &str, reason: Option<&str>) {
    let reason = reason.map(str::to_owned);
    status.clone_into(&mut known.export.status.code);
    known.export.status.reason.clone_from(&reason);
    known.execution = Some(Execution { code: execution.to_owned(), reason, created_at: Some(rfc3339(at)) });
}

/// The files of a month so far, which grows from day to day; a month that is over is whole.
fn files(delivery: Delivery) -> impl Iterator<Item = (u8, Object)> {
    let day = if first(delivery.period) == first(delivery.at.date()) {
        delivery.at.day()
    } else {
        delivery.period.month().length(delivery.period.year())
    };
    let size = BYTES_PER_DAY * u64::from(day);
    (1..=1 + day / DAYS_PER_FILE).map(move |number| (number, Object::of_size(size, delivery.at)))
}

fn of_report(report: &Report, delivery: Delivery) -> Vec<Written> {
    let Report { name, prefix, bucket, .. } = report;
    let (start, end) = (first(delivery.period), next_month(delivery.period));
    let assembly = uuid(&[name, &rfc3339(delivery.at), &day_of(start)]);
    let root = format!("{prefix}/{name}");
    let month = format!("{root}/{}-{}", day_of(start), day_of(end));
    let is_parquet = report.format == "Parquet";
    let is_new = report.versioning == "CREATE_NEW_REPORT";
    let data = match (is_parquet, is_new) {
        (true, false) => format!("{root}/{name}/year={}/month={}", start.year(), u8::from(start.month())),
        (_, true) => format!("{month}/{assembly}"),
        (false, false) => month.clone(),
    };
    let ending = if is_parquet {
        "snappy.parquet"
    } else if report.compression == "ZIP" {
        "csv.zip"
    } else {
        "csv.gz"
    };
    let mut written: Vec<Written> =
        files(delivery).map(|(number, object)| (format!("{data}/{name}-{number:05}.{ending}"), object)).collect();
    let keys: Vec<&String> = written.iter().map(|(key, _)| key).collect();
    let manifest = json!({
        "assemblyId": assembly,
        "account": ACCOUNT,
        "columns": [
            { "category": "identity", "name": "LineItemId" }, { "category": "bill", "name": "PayerAccountId" },
            { "category": "lineItem", "name": "UsageStartDate" }, { "category": "lineItem", "name": "ResourceId" },
            { "category": "lineItem", "name": "UnblendedCost" },
        ],
        "charset": "UTF-8",
        "compression": report.compression,
        "contentType": if is_parquet { "application/vnd.apache.parquet" } else { "text/csv" },
        "reportId": uuid(&[name]),
        "reportName": name,
        "billingPeriod": {
            "start": format!("{}T000000.000Z", day_of(start)), "end": format!("{}T000000.000Z", day_of(end)),
        },
        "bucket": bucket,
        "reportKeys": keys,
        "additionalArtifactKeys": [],
    });
    let object = |body: &str| Object::holding(body, delivery.at);
    if is_new {
        written.push((format!("{month}/{assembly}/{name}-Manifest.json"), object(&manifest.to_string())));
    }
    if is_parquet && !is_new {
        let status = format!("{root}/{name}/cost_and_usage_data_status/cost_and_usage_data_status.parquet");
        written.push((status, object("PAR1")));
        written.push((format!("{month}/{name}-create-table.sql"), object("CREATE EXTERNAL TABLE")));
        written.push((format!("{month}/crawler-cfn.yml"), object("AWSTemplateFormatVersion: 2010-09-09")));
    }
    written.push((format!("{month}/{name}-Manifest.json"), object(&manifest.to_string())));
    written
}

fn of_export(known: &Exported, delivery: Delivery, partition: PartitionCase) -> Vec<Written> {
    let export = &known.export;
    let (name, start) = (&export.name, first(delivery.period));
    let period = format!("{}={}-{:02}", partition.key(), start.year(), u8::from(start.month()));
    let execution = uuid(&[&export.arn, &rfc3339(delivery.at), &period]);
    let root = format!("{}/{name}", export.prefix);
    let listing =
        if export.overwrite == "CREATE_NEW_REPORT" { format!("{period}/{}-{execution}", rfc3339(delivery.at)) } else { period };
    let is_parquet = export.format == "PARQUET";
    let ending = if is_parquet {
        "snappy.parquet"
    } else if export.compression == "ZIP" {
        "csv.zip"
    } else {
        "csv.gz"
    };
    let mut written: Vec<Written> =
        files(delivery).map(|(number, object)| (format!("{root}/data/{listing}/{name}-{number:05}.{ending}"), object)).collect();
    let files: Vec<String> = written.iter().map(|(key, _)| format!("s3://{}/{key}", export.bucket)).collect();
    let columns: Vec<Value> = columns_of(&export.query).into_iter().map(|column| json!({ "name": column })).collect();
    let manifest = json!({
        "executionId": execution,
        "exportArn": export.arn,
        "dataFiles": files,
        "columns": columns,
        "contentType": if is_parquet { "Parquet" } else { "Csv" },
        "compression": export.compression,
        "additionalOutputFiles": [],
    });
    let object = Object::holding(&manifest.to_string(), delivery.at);
    written.push((format!("{root}/metadata/{listing}/{name}-Manifest.json"), object));
    written
}

fn first(day: Date) -> Date {
    day.replace_day(1).unwrap_or(day)
}

fn next_month(day: Date) -> Date {
    let next = day.month().next();
    let year = if next == Month::January { day.year() + 1 } else { day.year() };
    Date::from_calendar_date(year, next, 1).unwrap_or(day)
}

fn day_of(day: Date) -> String {
    day.format(format_description!("[year][month][day]")).unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use hawser_account::{
        file::{ExportFile, ReportFile},
        tables::Dictionary,
    };
    use time::macros::{date, datetime};

    use super::*;

    fn keys(written: &[Written]) -> Vec<&str> {
        written.iter().map(|(key, _)| key.as_str()).collect()
    }

    fn manifest(written: &[Written]) -> Value {
        serde_json::from_slice(&written.last().unwrap().1.body).unwrap()
    }

    #[test]
    fn reports_are_laid_out_as_by_aws() {
        let delivery = Delivery { period: date!(2026 - 12 - 24), at: datetime!(2026-12-05 06:00 UTC) };
        let (report, _) = ReportFile::hourly("cost", "b").into_report();
        let written = of_report(&report, delivery);
        assert_eq!(
            keys(&written),
            [
                "billing/cost/cost/year=2026/month=12/cost-00001.snappy.parquet",
                "billing/cost/cost/cost_and_usage_data_status/cost_and_usage_data_status.parquet",
                "billing/cost/20261201-20270101/cost-create-table.sql",
                "billing/cost/20261201-20270101/crawler-cfn.yml",
                "billing/cost/20261201-20270101/cost-Manifest.json",
            ]
        );
        assert_eq!(manifest(&written)["billingPeriod"]["end"], "20270101T000000.000Z");
        let csv = Report { format: "textORcsv".to_owned(), compression: "GZIP".to_owned(), ..report };
        let policy_problem = of_report(&csv, Delivery { period: date!(2026 - 11 - 01), ..delivery });
        assert_eq!(
            keys(&policy_problem),
            [
                "billing/cost/20261101-20261201/cost-00001.csv.gz",
                "billing/cost/20261101-20261201/cost-00002.csv.gz",
                "billing/cost/20261101-20261201/cost-00003.csv.gz",
                "billing/cost/20261101-20261201/cost-00004.csv.gz",
                "billing/cost/20261101-20261201/cost-Manifest.json",
            ]
        );
        let new = of_report(&Report { versioning: "CREATE_NEW_REPORT".to_owned(), ..csv }, delivery);
        let assembly = manifest(&new)["assemblyId"].as_str().unwrap().to_owned();
        assert_eq!(
            keys(&new),
            [
                format!("billing/cost/20261201-20270101/{assembly}/cost-00001.csv.gz").as_str(),
                format!("billing/cost/20261201-20270101/{assembly}/cost-Manifest.json").as_str(),
                "billing/cost/20261201-20270101/cost-Manifest.json",
            ]
        );
        assert_eq!(manifest(&new)["reportKeys"][0], new[0].0.as_str());
    }

    #[test]
    fn exports_are_laid_out_as_by_aws() {
        let delivery = Delivery { period: date!(2026 - 01 - 31), at: datetime!(2026-01-09 06:00 UTC) };
        let (export, tags) = ExportFile::hourly("cost", "b").into_export(&Dictionary::default());
        let mut known = Exported { export, tags, execution: None };
        let written = of_export(&known, delivery, PartitionCase::Upper);
        assert_eq!(
            keys(&written),
            [
                "billing/cost/data/BILLING_PERIOD=2026-01/cost-00001.snappy.parquet",
                "billing/cost/metadata/BILLING_PERIOD=2026-01/cost-Manifest.json",
            ]
        );
        assert_eq!(manifest(&written)["dataFiles"][0], format!("s3://b/{}", written[0].0));
        assert_eq!(manifest(&written)["columns"].as_array().unwrap().len(), 125);
        known.export.overwrite = "CREATE_NEW_REPORT".to_owned();
        let new = of_export(&known, delivery, PartitionCase::Upper);
        let execution = manifest(&new)["executionId"].as_str().unwrap().to_owned();
        let listing = format!("BILLING_PERIOD=2026-01/2026-01-09T06:00:00Z-{execution}");
        assert_eq!(new[0].0, format!("billing/cost/data/{listing}/cost-00001.snappy.parquet"));
        assert_eq!(new[1].0, format!("billing/cost/metadata/{listing}/cost-Manifest.json"));
    }
}
