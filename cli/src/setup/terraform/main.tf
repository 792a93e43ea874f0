# Connects this AWS account to a vendor's product: a role that only this vendor can assume, with the packs that are switched on.
# Made by hawser @VERSION@.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.43, < 7.0"
      # The billing services answer in one Region of a partition: us-east-1, or cn-northwest-1 in China.
      configuration_aliases = [aws.billing]
    }
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

data "aws_region" "billing" {
  provider = aws.billing
}

locals {
  # Vendors do not collide: whoever connects one account to the same vendor twice gives the second connection a name.
  name           = var.name != "" ? var.name : "hawser-${var.vendor_account_id}"
  account_id     = data.aws_caller_identity.current.account_id
  partition      = data.aws_partition.current.partition
  region         = data.aws_region.current.id
  billing_region = data.aws_region.billing.id
  role_name      = local.makes_role ? aws_iam_role.vendor[0].name : var.existing_role_name
  role_arn       = local.makes_role ? aws_iam_role.vendor[0].arn : "arn:${local.partition}:iam::${local.account_id}:role${var.role_path}${var.existing_role_name}"
}

# What the variables come to.
locals {
@CONDITIONS@
}

resource "aws_iam_role" "vendor" {
  count                = local.makes_role ? 1 : 0
  name                 = local.name
  path                 = var.role_path
  description          = @DESCRIPTION@
  permissions_boundary = local.has_boundary ? var.permissions_boundary_arn : null

  assume_role_policy = jsonencode(@TRUST@)
}
