variable "name" {
  description = "The connection's name: role, policies, bucket and report have names that contain it. If empty, hawser- and the vendor's account."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z][A-Za-z0-9-]{0,39})?$", var.name))
    error_message = "name must begin with a letter and have up to 40 letters, digits and hyphens."
  }
}

variable "kms_key_arn" {
  description = "The ARN of the key that a bucket of yours encrypts with, if it does."
  type        = string
  default     = ""
}

variable "split_cost_allocation" {
  description = "Split the costs of shared containers. AWS refuses this in accounts that are not opted in to it."
  type        = bool
  default     = true
}

variable "focus_table" {
  description = "The table that FOCUS data is exported from."
  type        = string
  default     = "@FOCUS_TABLE@"
}

variable "table_properties" {
  description = "Properties of the exported table that AWS introduced later, or other values than the module's. Null takes one out."
  type        = map(string)
  default     = {}
}
