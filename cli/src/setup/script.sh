say() { printf '%s\n' "$*" >&2; }
stop() {
  say "error: $*"
  exit 3
}

# Runs an AWS CLI call with its answer in FOUND. Fails when the thing it asks for is not there; any other error ends the script.
FOUND=
ERRORS=$(mktemp)
trap 'rm -f "$ERRORS"' EXIT
look() {
  if FOUND=$(aws "$@" --output text 2>"$ERRORS"); then return 0; fi
  if grep -q -e NoSuchEntity -e ResourceNotFoundException "$ERRORS"; then return 1; fi
  cat "$ERRORS" >&2
  exit 1
}

# As that, for a call that changes something and answers nothing of interest.
call() { aws "$@" --output text >/dev/null; }

# Stops where something of this name is not this connection's.
ours() { # kind, name
  [[ $FOUND == "$CONNECTION" ]] ||
    stop "there is a $1 $2 already and it is not this connection's (its tag hawser:connection is not $CONNECTION); choose another --name"
}

TAG="Key=hawser:connection,Value=$CONNECTION"
MARK="Tags[?Key=='hawser:connection'].Value | [0]"

role_name() { printf '%s' "${EXISTING_ROLE:-$NAME}"; }

# Who has the packs: the user, if there is one, else the role.
attach() { # policy ARN, role|vendor
  if [[ $2 == vendor && -n $WITH_USER ]]; then
    call iam attach-user-policy --user-name "$NAME" --policy-arn "$1"
  else
    call iam attach-role-policy --role-name "$(role_name)" --policy-arn "$1"
  fi
}

detach() { # policy ARN, role|vendor
  if [[ $2 == vendor && -n $WITH_USER ]]; then
    look iam detach-user-policy --user-name "$NAME" --policy-arn "$1" || true
  else
    look iam detach-role-policy --role-name "$(role_name)" --policy-arn "$1" || true
  fi
}

policy() { # name, description, role|vendor|user|nobody, digest of the document; the document on stdin
  local name=$1 description=$2 to=$3 digest=$4 document arn
  document=$(cat)
  arn="arn:$PARTITION:iam::$ACCOUNT:policy$ROLE_PATH$name"
  if look iam get-policy --policy-arn "$arn" --query "Policy.$MARK"; then
    ours policy "$name"
    look iam get-policy --policy-arn "$arn" --query "Policy.Tags[?Key=='hawser:document'].Value | [0]" || true
    if [[ $FOUND != "$digest" ]]; then
      # IAM keeps five versions: the oldest makes room.
      look iam list-policy-versions --policy-arn "$arn" \
        --query 'sort_by(Versions[?!IsDefaultVersion], &CreateDate)[].VersionId' || true
      # shellcheck disable=SC2086 # the words of a list
      set -- $FOUND
      if (($# >= 4)); then call iam delete-policy-version --policy-arn "$arn" --version-id "$1"; fi
      call iam create-policy-version --policy-arn "$arn" --policy-document "$document" --set-as-default
      call iam tag-policy --policy-arn "$arn" --tags "Key=hawser:document,Value=$digest"
      say "policy $name brought up to date"
    fi
  else
    call iam create-policy --policy-name "$name" --path "$ROLE_PATH" --description "$description" \
      --policy-document "$document" --tags "$TAG" "Key=hawser:document,Value=$digest"
    say "policy $name made"
  fi
  case $to in
    nobody) ;;
    user) call iam put-user-permissions-boundary --user-name "$NAME" --permissions-boundary "$arn" ;;
    *) attach "$arn" "$to" ;;
  esac
}

undo_policy() { # name, role|vendor|user|nobody
  local arn="arn:$PARTITION:iam::$ACCOUNT:policy$ROLE_PATH$1" version
  look iam get-policy --policy-arn "$arn" --query "Policy.$MARK" || return 0
  ours policy "$1"
  if [[ $2 == user ]]; then
    # Only this boundary: the user's packs are detached by now.
    look iam delete-user-permissions-boundary --user-name "$NAME" || true
  elif [[ $2 != nobody ]]; then
    detach "$arn" "$2"
  else
    look iam list-entities-for-policy --policy-arn "$arn" --policy-usage-filter PermissionsBoundary \
      --query 'PolicyRoles[].RoleName' || true
    if [[ -n $FOUND && $FOUND != None ]]; then
      say "policy $1 stays, because it is the boundary of roles that the vendor made: $FOUND; remove them, then run this again"
      return 0
    fi
  fi
  look iam list-policy-versions --policy-arn "$arn" --query 'Versions[?!IsDefaultVersion].VersionId' || true
  for version in $FOUND; do
    call iam delete-policy-version --policy-arn "$arn" --version-id "$version"
  done
  call iam delete-policy --policy-arn "$arn"
  say "policy $1 removed"
}

role() {
  if [[ -n $EXISTING_ROLE ]]; then
    look iam get-role --role-name "$EXISTING_ROLE" --query Role.Arn || stop "there is no role $EXISTING_ROLE"
    say "role $EXISTING_ROLE is yours and stays as it is; its trust policy must hold:"
    trust_policy >&2
  elif look iam get-role --role-name "$NAME" --query "Role.$MARK"; then
    ours role "$NAME"
    call iam update-assume-role-policy --role-name "$NAME" --policy-document "$(trust_policy)"
  else
    call iam create-role --role-name "$NAME" --path "$ROLE_PATH" --description "$DESCRIPTION" \
      --assume-role-policy-document "$(trust_policy)" --tags "$TAG" ${BOUNDARY:+--permissions-boundary "$BOUNDARY"}
    say "role $NAME made"
  fi
}

undo_role() {
  if [[ -n $EXISTING_ROLE ]]; then return 0; fi
  look iam get-role --role-name "$NAME" --query "Role.$MARK" || return 0
  ours role "$NAME"
  call iam delete-role --role-name "$NAME"
  say "role $NAME removed"
}

user() {
  if look iam get-user --user-name "$NAME" --query "User.$MARK"; then
    ours user "$NAME"
  else
    call iam create-user --user-name "$NAME" --path "$ROLE_PATH" --tags "$TAG" \
      ${BOUNDARY:+--permissions-boundary "$BOUNDARY"}
    say "user $NAME made"
  fi
}

secret() {
  if look secretsmanager describe-secret --region "$REGION" --secret-id "$SECRET" --query "$MARK"; then
    ours secret "$SECRET"
    # After undo, Secrets Manager keeps it for some days.
    look secretsmanager describe-secret --region "$REGION" --secret-id "$SECRET" --query DeletedDate || true
    if [[ $FOUND != None ]]; then call secretsmanager restore-secret --region "$REGION" --secret-id "$SECRET"; fi
  else
    call secretsmanager create-secret --region "$REGION" --name "$SECRET" --description "Access key of the user $NAME" \
      --tags "$TAG"
  fi
}

# The ids of the user's access keys, in FOUND.
keys() { look iam list-access-keys --user-name "$NAME" --query 'AccessKeyMetadata[].AccessKeyId' || true; }

# The key goes from IAM to Secrets Manager through a pipe: it is in no variable, no file, no argument and no output.
store_new_key() {
  local before key
  keys
  before=$FOUND
  if ! aws iam create-access-key --user-name "$NAME" --output json \
    --query 'AccessKey.{AccessKeyId: AccessKeyId, SecretAccessKey: SecretAccessKey}' |
    aws secretsmanager put-secret-value --region "$REGION" --secret-id "$SECRET" --secret-string file:///dev/stdin \
      --output text >/dev/null; then
    # A key that nobody has is removed again.
    keys
    for key in $FOUND; do
      [[ $before == *"$key"* ]] || call iam delete-access-key --user-name "$NAME" --access-key-id "$key"
    done
    stop "the access key could not be stored, so it was removed"
  fi
  say "access key stored in the secret $SECRET"
}

access_key() {
  secret
  # The secret is remade with every key, so that one without a value, or of a user without a key, is one that was not finished.
  keys
  if [[ -n $FOUND ]]; then
    look secretsmanager list-secret-version-ids --region "$REGION" --secret-id "$SECRET" --query 'Versions[].VersionId' || true
    if [[ -n $FOUND && $FOUND != None ]]; then return 0; fi
  fi
  store_new_key
}

rotate() {
  local old
  keys
  old=$FOUND
  # shellcheck disable=SC2086 # the words of a list
  set -- $old
  if (($# > 1)); then stop "the user $NAME has two access keys; remove the one that is not used any more first"; fi
  store_new_key
  if [[ -n $old ]]; then
    say "once the vendor uses the new key, remove the old one:"
    say "  aws iam delete-access-key --user-name $NAME --access-key-id $old"
  fi
}

undo_user() {
  local key
  if look iam get-user --user-name "$NAME" --query "User.$MARK"; then
    ours user "$NAME"
    keys
    for key in $FOUND; do call iam delete-access-key --user-name "$NAME" --access-key-id "$key"; done
    call iam delete-user --user-name "$NAME"
    say "user $NAME removed"
  fi
  if look secretsmanager describe-secret --region "$REGION" --secret-id "$SECRET" --query "$MARK"; then
    ours secret "$SECRET"
    call secretsmanager delete-secret --region "$REGION" --secret-id "$SECRET" --recovery-window-in-days 7
    say "secret $SECRET goes in 7 days"
  fi
}

main() {
  local usage="usage: connect.sh [connect|undo]"
  if [[ -n $WITH_USER ]]; then usage="usage: connect.sh [connect|rotate|undo]"; fi
  # Before anything is asked of AWS.
  case ${1:-connect} in
    connect | rotate | undo) ;;
    help | -h | --help)
      printf '%s\n' "$usage"
      exit 0
      ;;
    *)
      say "$usage"
      exit 2
      ;;
  esac
  look sts get-caller-identity --query Account || true
  [[ $FOUND == "$ACCOUNT" ]] || stop "these credentials are of account $FOUND and this script is for $ACCOUNT"
  case ${1:-connect} in
    connect)
      role
      if [[ -n $WITH_USER ]]; then user; fi
      connect_policies
      if [[ -n $WITH_USER ]]; then
        access_key
        look secretsmanager describe-secret --region "$REGION" --secret-id "$SECRET" --query ARN
        say "the vendor's role reads the access key in the secret $FOUND"
      fi
      look iam get-role --role-name "$(role_name)" --query Role.Arn
      say "give the vendor the external ID $EXTERNAL_ID and the ARN of this role:"
      printf '%s\n' "$FOUND"
      ;;
    rotate)
      [[ -n $WITH_USER ]] || stop "there is no access key to rotate: the vendor assumes the role"
      rotate
      ;;
    undo)
      undo_policies
      if [[ -n $WITH_USER ]]; then undo_user; fi
      undo_role
      ;;
  esac
}
