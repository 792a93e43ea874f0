"""Billing data as AWS delivers it, made for tests: `python -m dev.data make` and `python -m dev.data read`.

`items` has koku-nise make the line items of a Cost and Usage Report, `tables` derives the columns of each kind of export from
them, `layouts` says which objects a delivery consists of, `files` writes and reads them, `delivery` puts it together.

What is faithful to AWS's documentation: every object key, in every layout; the file names; the manifests' members; column names;
the two manifests of a CREATE_NEW delivery; one header line in every CSV file; map columns in CUR 2.0 and FOCUS.

What is not: the amounts are made up, and nothing adds up to a bill. There are Usage and SavingsPlanCoveredUsage lines, and no taxes,
credits, refunds or fees. A column that nise does not fill is there and empty. FOCUS has AWS's mapping of the columns that every
version keeps; the rest is empty. Parquet has text, doubles, millisecond timestamps and maps of text; AWS's own precision, row
groups and encodings are not known. The column types in a manifest of Data Exports are in AWS's words as far as public samples show
them. `create-table.sql` and `crawler-cfn.yml` have the right place and name, and not AWS's text.
"""
