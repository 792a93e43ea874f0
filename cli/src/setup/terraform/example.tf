# Runs as it stands: `terraform init` and `terraform plan` in this folder. Credentials and Region are found as the AWS CLI finds them.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.43, < 7.0"
    }
  }
}

variable "billing_region" {
  description = "Where the billing services of your partition are: us-east-1, or cn-northwest-1 in China."
  type        = string
  default     = "us-east-1"
}
@VARIABLES@

provider "aws" {}

provider "aws" {
  alias  = "billing"
  region = var.billing_region
}

module "vendor" {
  source = "../"

  providers = {
    aws         = aws
    aws.billing = aws.billing
  }

@ARGUMENTS@
}

output "role_arn" {
  description = "Give it to the vendor, with the other outputs."
  value       = module.vendor.role_arn
}

output "external_id" {
  value = module.vendor.external_id
}

output "bucket" {
  value = module.vendor.bucket
}

output "prefix" {
  value = module.vendor.prefix
}
