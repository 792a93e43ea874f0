# Billing data: a private bucket and what is delivered to it, unless a bucket of yours is named.

locals {
  has_billing  = var.billing_kind != "None"
  makes_bucket = local.has_billing && var.existing_bucket == ""
  report_name  = "${var.name_prefix}-${var.name}"
  new_bucket   = "${var.name_prefix}-${local.account_id}-billing"
  new_prefix   = "@DATA_ROOT@"

  # What the billing pack may read: never empty, and never more than one report's files. Without a bucket, one that nobody has.
  bucket_name          = local.makes_bucket ? local.new_bucket : (var.existing_bucket != "" ? var.existing_bucket : "${var.name_prefix}-${local.account_id}-none")
  readable_prefix      = local.makes_bucket ? "${local.new_prefix}/${local.report_name}/" : (var.existing_bucket == "" ? "@DATA_ROOT@/" : (var.existing_prefix == "" ? "" : "${var.existing_prefix}/"))
  readable_bucket_arn  = "arn:${local.partition}:s3:::${local.bucket_name}"
  readable_keys        = "${local.readable_prefix}*"
  readable_objects_arn = "${local.readable_bucket_arn}/${local.readable_keys}"
  decryptable_key_arn  = var.kms_key_arn != "" ? var.kms_key_arn : "arn:${local.partition}:kms:${local.region}:${local.account_id}:key/none"
}

# With billing_retention = "Retain", `terraform destroy` refuses to remove a bucket that holds data.
resource "aws_s3_bucket" "billing" {
  count         = local.makes_bucket ? 1 : 0
  bucket        = local.new_bucket
  force_destroy = var.billing_retention == "Delete"
}

resource "aws_s3_bucket_public_access_block" "billing" {
  count                   = local.makes_bucket ? 1 : 0
  bucket                  = aws_s3_bucket.billing[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "billing" {
  count  = local.makes_bucket ? 1 : 0
  bucket = aws_s3_bucket.billing[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "billing" {
  count  = local.makes_bucket ? 1 : 0
  bucket = aws_s3_bucket.billing[0].id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "billing" {
  count  = local.makes_bucket ? 1 : 0
  bucket = aws_s3_bucket.billing[0].id

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
  bucket = aws_s3_bucket.billing[0].id

  policy = jsonencode(@BUCKET_POLICY@)

  depends_on = [aws_s3_bucket_public_access_block.billing]
}

resource "aws_cur_report_definition" "billing" {
  count    = local.makes_bucket && var.billing_kind == "CostAndUsageReport" ? 1 : 0
  provider = aws.billing

  report_name                = local.report_name
  time_unit                  = "HOURLY"
  format                     = var.billing_format == "Parquet" ? "Parquet" : "textORcsv"
  compression                = var.billing_format == "Parquet" ? "Parquet" : "GZIP"
  additional_schema_elements = var.split_cost_allocation ? ["RESOURCES", "SPLIT_COST_ALLOCATION_DATA"] : ["RESOURCES"]
  additional_artifacts       = var.billing_format == "Parquet" ? ["ATHENA"] : []
  report_versioning          = "OVERWRITE_REPORT"
  refresh_closed_reports     = true
  s3_bucket                  = aws_s3_bucket.billing[0].id
  s3_prefix                  = local.new_prefix
  s3_region                  = local.region

  depends_on = [aws_s3_bucket_policy.billing]
}

resource "aws_bcmdataexports_export" "billing" {
  count    = local.makes_bucket && contains(["CostAndUsageReport2", "Focus"], var.billing_kind) ? 1 : 0
  provider = aws.billing

  export {
    name = local.report_name

    data_query {
      query_statement = var.billing_kind == "Focus" ? @FOCUS_QUERY@ : @CUR2_QUERY@

      table_configurations = var.billing_kind == "Focus" ? {
        (var.focus_table) = {
          TIME_GRANULARITY = "HOURLY"
        }
        } : {
        "@CUR2_TABLE@" = {
          TIME_GRANULARITY                   = "HOURLY"
          INCLUDE_RESOURCES                  = "TRUE"
          INCLUDE_SPLIT_COST_ALLOCATION_DATA = var.split_cost_allocation ? "TRUE" : "FALSE"
        }
      }
    }

    destination_configurations {
      s3_destination {
        s3_bucket = aws_s3_bucket.billing[0].id
        s3_prefix = local.new_prefix
        s3_region = local.region

        s3_output_configurations {
          overwrite   = "OVERWRITE_REPORT"
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
}
