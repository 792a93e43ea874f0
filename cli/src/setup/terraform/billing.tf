# Billing data: a private bucket and what is delivered to it, unless a bucket of yours is named.

locals {
  has_billing  = var.billing_kind != "None"
  makes_bucket = local.has_billing && var.existing_bucket == ""
  makes_report = local.makes_bucket && var.billing_kind == "CostAndUsageReport"
  makes_export = local.makes_bucket && var.billing_kind != "CostAndUsageReport"
  keeps_bucket = var.billing_retention == "Retain"

  # Every connection has a bucket of its own. Names of buckets have at most 63 characters: 30 of the prefix, 12 of the account, 8 of
  # the connection's name, and 8 that tell long names apart.
  new_bucket = "${var.name_prefix}-${local.account_id}-${lower(substr(local.name, 0, 8))}-${substr(sha256(local.name), 0, 8)}"

  # All properties that AWS has for the table: provider hashicorp/aws fails when AWS gives one back that is not here
  # (https://github.com/hashicorp/terraform-provider-aws/issues/48807). A newer property goes into var.table_properties, and null takes one out.
  properties = var.billing_kind == "Focus" ? tomap({
    # FOCUS 1.0 has no such property and is hourly.
    TIME_GRANULARITY = var.focus_table == "FOCUS_1_0_AWS" ? null : "HOURLY"
    }) : tomap({
    BILLING_VIEW_ARN                      = "arn:${local.partition}:billing::${local.account_id}:billingview/primary"
    INCLUDE_CAPACITY_RESERVATION_DATA     = "FALSE"
    INCLUDE_IAM_PRINCIPAL_DATA            = var.include_iam_principal_data == "true" ? "TRUE" : "FALSE"
    INCLUDE_MANUAL_DISCOUNT_COMPATIBILITY = "FALSE"
    INCLUDE_RESOURCES                     = "TRUE"
    INCLUDE_SPLIT_COST_ALLOCATION_DATA    = var.split_cost_allocation ? "TRUE" : "FALSE"
    TIME_GRANULARITY                      = "HOURLY"
  })
  table            = var.billing_kind == "Focus" ? var.focus_table : "@CUR2_TABLE@"
  table_properties = { for property, value in merge(local.properties, var.table_properties) : property => value if value != null }
  cur2_columns     = var.include_iam_principal_data == "true" ? ", @IAM_PRINCIPAL_COLUMN@" : ""
  query            = var.billing_kind == "Focus" ? @FOCUS_QUERY@ : @CUR2_QUERY@
  versioning       = var.billing_versioning == "CreateNewReport" ? "CREATE_NEW_REPORT" : "OVERWRITE_REPORT"

  # A report that is overwritten must never begin again where another one wrote. What replaces a report by another one changes its name,
  # and each new one has a folder of its own time.
  report_name = "${var.name_prefix}-${local.name}-${substr(sha256(jsonencode([var.billing_kind, var.billing_format, local.versioning, var.split_cost_allocation, local.query, local.table_properties])), 0, 8)}"
  new_prefix  = "@DATA_ROOT@/${formatdate("YYYYMMDDhhmmss", plantimestamp())}"

  # Where the report is delivered, as the report itself has it.
  report_prefix = local.makes_report ? aws_cur_report_definition.billing[0].s3_prefix : (local.makes_export ? aws_bcmdataexports_export.billing[0].export[0].destination_configurations[0].s3_destination[0].s3_prefix : "")

  # Keys below it begin with it and one slash.
  existing_prefix = replace(var.existing_prefix, "/\\/+$/", "")

  # What the billing pack may read: never empty, and never more than one report's files. Without a bucket, one that nobody has.
  bucket_name          = local.makes_bucket ? local.new_bucket : (var.existing_bucket != "" ? var.existing_bucket : "${var.name_prefix}-${local.account_id}-none")
  readable_prefix      = local.makes_bucket ? "${local.report_prefix}/${local.report_name}/" : (var.existing_bucket == "" ? "@DATA_ROOT@/" : (local.existing_prefix == "" ? "" : "${local.existing_prefix}/"))
  readable_bucket_arn  = "arn:${local.partition}:s3:::${local.bucket_name}"
  # A star in a key is IAM's ${*}; the last one is any key.
  readable_keys        = "${replace(local.readable_prefix, "*", "$${*}")}*"
  readable_objects_arn = "${local.readable_bucket_arn}/${local.readable_keys}"
  decryptable_key_arn  = var.kms_key_arn != "" ? var.kms_key_arn : "arn:${local.partition}:kms:${local.region}:${local.account_id}:key/none"
}

# With billing_retention = "Retain". Terraform would remove what guards a bucket before it finds that the bucket holds data and cannot be
# removed, so a plan that removes this one is refused as a whole. README.md says how to disconnect and keep it.
resource "aws_s3_bucket" "kept" {
  count  = local.makes_bucket && local.keeps_bucket ? 1 : 0
  bucket = local.new_bucket

  lifecycle {
    prevent_destroy = true
  }
}

# With billing_retention = "Delete": removed with all that it holds.
resource "aws_s3_bucket" "billing" {
  count         = local.makes_bucket && !local.keeps_bucket ? 1 : 0
  bucket        = local.new_bucket
  force_destroy = true
}

locals {
  bucket_id = local.makes_bucket ? (local.keeps_bucket ? aws_s3_bucket.kept[0].id : aws_s3_bucket.billing[0].id) : ""
}

resource "aws_s3_bucket_public_access_block" "billing" {
  count                   = local.makes_bucket ? 1 : 0
  bucket                  = local.bucket_id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "billing" {
  count  = local.makes_bucket ? 1 : 0
  bucket = local.bucket_id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "billing" {
  count  = local.makes_bucket ? 1 : 0
  bucket = local.bucket_id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "billing" {
  count  = local.makes_bucket ? 1 : 0
  bucket = local.bucket_id

  rule {
    id     = "hawser-unfinished-uploads"
    status = "Enabled"

    filter {
      prefix = ""
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = @UPLOAD_DAYS@
    }
  }
}

# AWS's billing services write, for this account only, and everything goes over TLS.
resource "aws_s3_bucket_policy" "billing" {
  count  = local.makes_bucket ? 1 : 0
  bucket = local.bucket_id

  policy = jsonencode(@BUCKET_POLICY@)

  depends_on = [aws_s3_bucket_public_access_block.billing]
}

resource "aws_cur_report_definition" "billing" {
  count    = local.makes_report ? 1 : 0
  provider = aws.billing

  report_name                = local.report_name
  time_unit                  = "HOURLY"
  format                     = var.billing_format == "Parquet" ? "Parquet" : "textORcsv"
  compression                = var.billing_format == "Parquet" ? "Parquet" : "GZIP"
  additional_schema_elements = var.split_cost_allocation ? ["RESOURCES", "SPLIT_COST_ALLOCATION_DATA"] : ["RESOURCES"]
  additional_artifacts       = var.billing_format == "Parquet" && local.versioning == "OVERWRITE_REPORT" ? ["ATHENA"] : []
  report_versioning          = local.versioning
  refresh_closed_reports     = true
  s3_bucket                  = local.bucket_id
  s3_prefix                  = local.new_prefix
  s3_region                  = local.region

  depends_on = [aws_s3_bucket_policy.billing]

  lifecycle {
    ignore_changes = [s3_prefix]
  }
}

resource "aws_bcmdataexports_export" "billing" {
  count    = local.makes_export ? 1 : 0
  provider = aws.billing

  export {
    name = local.report_name

    data_query {
      query_statement      = local.query
      table_configurations = { (local.table) = local.table_properties }
    }

    destination_configurations {
      s3_destination {
        s3_bucket = local.bucket_id
        s3_prefix = local.new_prefix
        s3_region = local.region

        s3_output_configurations {
          overwrite   = local.versioning
          output_type = "CUSTOM"
          format      = var.billing_format == "Parquet" ? "PARQUET" : "TEXT_OR_CSV"
          compression = var.billing_format == "Parquet" ? "PARQUET" : "GZIP"
        }
      }
    }

    refresh_cadence {
      frequency = "SYNCHRONOUS"
    }
  }

  depends_on = [aws_s3_bucket_policy.billing]

  lifecycle {
    ignore_changes = [export[0].destination_configurations[0].s3_destination[0].s3_prefix]
  }
}
