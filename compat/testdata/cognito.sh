#!/bin/bash
# Sets up a pool, a client and a user, and signs the user in: the calls of the lab's own script, in its order.
set -eu
REGION=$(aws configure get region || echo "$AWS_DEFAULT_REGION")

aws cognito-idp create-user-pool --pool-name DemoUserPool --policies '{"PasswordPolicy":{"MinimumLength":8}}' --region "$REGION" > pool.json
POOL_ID=$(jq -r .UserPool.Id pool.json)

aws cognito-idp create-user-pool-client --user-pool-id "$POOL_ID" --client-name DemoClient --no-generate-secret \
  --explicit-auth-flows ALLOW_USER_PASSWORD_AUTH ALLOW_REFRESH_TOKEN_AUTH --region "$REGION" > client.json
CLIENT_ID=$(jq -r .UserPoolClient.ClientId client.json)

aws cognito-idp admin-create-user --user-pool-id "$POOL_ID" --username testuser --temporary-password 'Temp123!' \
  --region "$REGION" --message-action SUPPRESS > /dev/null
aws cognito-idp admin-set-user-password --user-pool-id "$POOL_ID" --username testuser --password 'MyPassword123!' \
  --region "$REGION" --permanent > /dev/null

aws cognito-idp initiate-auth --client-id "$CLIENT_ID" --auth-flow USER_PASSWORD_AUTH \
  --auth-parameters USERNAME=testuser,PASSWORD='MyPassword123!' --region "$REGION" > auth.json

echo "Pool id: $POOL_ID"
echo "Discovery URL: https://cognito-idp.$REGION.amazonaws.com/$POOL_ID/.well-known/openid-configuration"
echo "Client ID: $CLIENT_ID"
echo "Bearer Token: $(jq -r .AuthenticationResult.AccessToken auth.json)"
