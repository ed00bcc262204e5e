#!/bin/bash
# The bash script that this project replaces, word for word: `ecr create` is measured against it.

# Configuration
REGION="us-east-1"
CONFIG_FILE="repositories.json"
LIFECYCLE_FILE="lifecycle-policy.json"
echo "ECR Repository Setup"
echo "===================="
# Get AWS account ID dynamically
ACCOUNT_ID=$(aws sts get-caller-identity --query Account --output text)
echo "Account: $ACCOUNT_ID"
echo "Region: $REGION"
echo ""
# Read project name from configuration
PROJECT=$(jq -r '.project' $CONFIG_FILE)
echo "Project: $PROJECT"
echo ""
# Create repositories from configuration
echo "Creating ECR repositories..."
jq -r '.repositories[] | @base64' $CONFIG_FILE | while read -r repo_data; do
# Decode JSON for each repository
repo_info=$(echo "$repo_data" | base64 --decode)
REPO_NAME=$(echo "$repo_info" | jq -r '.name')
DESCRIPTION=$(echo "$repo_info" | jq -r '.description')
echo "Creating: $REPO_NAME"
echo " Description: $DESCRIPTION"
# Check if repository already exists (idempotent)
if aws ecr describe-repositories --repository-names "$REPO_NAME" --region $REGION >/dev/null 2>&1; then
echo " Already exists"
else
# Create repository with security best practices
aws ecr create-repository \
--repository-name "$REPO_NAME" \
--region $REGION \
--image-tag-mutability IMMUTABLE \
--image-scanning-configuration scanOnPush=true \
>/dev/null
echo " Created"
fi
# Apply lifecycle policy
aws ecr put-lifecycle-policy \
--repository-name "$REPO_NAME" \
--lifecycle-policy-text file://$LIFECYCLE_FILE \
--region $REGION \
>/dev/null 2>&1
echo " Lifecycle policy applied"
echo ""
done
echo "ECR repositories ready!"
echo ""
echo "Registry: $ACCOUNT_ID.dkr.ecr.$REGION.amazonaws.com"
