output "role_arn" {
  description = "The role that the vendor assumes. Give it to the vendor, with the external ID."
  value       = local.role_arn
}

output "external_id" {
  description = "The external ID that the vendor has to give with it"
  value       = var.external_id
}

output "bucket" {
  description = "The bucket of the billing data; empty without any"
  value       = local.makes_bucket ? local.new_bucket : var.existing_bucket
}

output "prefix" {
  description = "Where in the bucket"
  value       = local.makes_bucket ? "${local.report_prefix}/${local.report_name}" : local.existing_prefix
}
