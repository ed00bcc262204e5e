//! Reading and writing the settings of the whole registry.

use aws_sdk_ecr::types::{ImageTagMutability, RctAppliedFor, RepositoryCreationTemplate, Tag};
use ecr_lifecycle::StoredPolicy;

use super::answer::{member, same, unexpected};
use super::apply::{sdk_mutability, sdk_tags};
use super::observe::scanning_rule;
use super::optional::Optional;
use super::pages::Pages;
use super::{Aws, ServiceError};
use crate::config::desired::{DesiredRegistry, DesiredTemplate};
use crate::plan::observed::Property;
use crate::registry::{
    BLOB_MOUNTING, CreationTemplate, PullThroughRule, RegistrySettings, RegistryWrite, ReplicationRule,
    Scanning, SigningRule,
};

type Result<T> = std::result::Result<T, ServiceError>;

impl Aws {
    /// What is set for the registry, and the errors of what could not be read for another reason than a missing permission.
    /// Missing permissions are recorded for the warnings.
    pub async fn registry_settings(&self) -> (RegistrySettings, Vec<ServiceError>) {
        let (scanning, blob_mounting, templates, signing, pull_through, replication, pull_time_exclusions) = tokio::join!(
            self.scanning(),
            self.blob_mounting(),
            self.creation_templates(),
            self.signing_rules(),
            self.pull_through_rules(),
            self.replication_rules(),
            self.pull_time_exclusions(),
        );
        let mut errors = Vec::new();
        let settings = RegistrySettings {
            scanning: self.property(scanning, SCANNING, &mut errors),
            blob_mounting: self.property(blob_mounting, GET_SETTING, &mut errors),
            templates: self.property(templates, DESCRIBE_TEMPLATES, &mut errors),
            signing: self.property(signing, SIGNING, &mut errors),
            pull_through: self.property(pull_through, PULL_THROUGH, &mut errors),
            replication: self.property(replication, REGISTRY, &mut errors),
            pull_time_exclusions: self.property(pull_time_exclusions, EXCLUSIONS, &mut errors),
        };
        (settings, errors)
    }

    /// The settings that a workspace configures, as in [`Aws::registry_settings`]. Others are not read.
    pub async fn configured_settings(
        &self,
        desired: &DesiredRegistry,
    ) -> (RegistrySettings, Vec<ServiceError>) {
        let mounting = async {
            match desired.blob_mounting {
                Some(_) => Some(self.blob_mounting().await),
                None => None,
            }
        };
        let templates = async {
            match desired.writes_template {
                true => Some(self.creation_templates().await),
                false => None,
            }
        };
        let (mounting, templates) = tokio::join!(mounting, templates);
        let mut errors = Vec::new();
        let settings = RegistrySettings {
            blob_mounting: self.property_if_read(mounting, GET_SETTING, &mut errors),
            templates: self.property_if_read(templates, DESCRIBE_TEMPLATES, &mut errors),
            ..RegistrySettings::default()
        };
        (settings, errors)
    }

    fn property_if_read<T>(
        &self,
        result: Option<Result<T>>,
        action: &'static str,
        errors: &mut Vec<ServiceError>,
    ) -> Property<T> {
        result.map_or(Property::Skipped, |it| self.property(it, action, errors))
    }

    fn property<T>(
        &self,
        result: Result<T>,
        action: &'static str,
        errors: &mut Vec<ServiceError>,
    ) -> Property<T> {
        match result {
            Ok(value) => Property::Known(value),
            Err(error) if error.is_denied() => {
                self.denials.add(action, "a setting of the registry was not read", "");
                Property::Denied
            }
            Err(error) => {
                errors.push(error);
                Property::Skipped
            }
        }
    }

    async fn scanning(&self) -> Result<Scanning> {
        let request = self.ecr.get_registry_scanning_configuration().customize().interceptor(Optional);
        let found = request.send().await.map_err(|it| ServiceError::new(SCANNING, it))?;
        let found = member(SCANNING, "scanningConfiguration", found.scanning_configuration())?;
        let kind = member(SCANNING, "scanType", found.scan_type())?.as_str().to_owned();
        Ok(Scanning { kind, rules: found.rules().iter().map(scanning_rule).collect() })
    }

    async fn blob_mounting(&self) -> Result<bool> {
        let request = self.ecr.get_account_setting().name(BLOB_MOUNTING).customize().interceptor(Optional);
        let found = request.send().await.map_err(|it| ServiceError::new(GET_SETTING, it))?;
        same(GET_SETTING, "name", found.name(), BLOB_MOUNTING)?;
        match member(GET_SETTING, "value", found.value())? {
            "ENABLED" => Ok(true),
            "DISABLED" => Ok(false),
            other => Err(unexpected(GET_SETTING, format!("`value` is `{other}`"))),
        }
    }

    async fn creation_templates(&self) -> Result<Vec<CreationTemplate>> {
        let request = self.ecr.describe_repository_creation_templates().max_results(1000);
        let mut pages = Pages::new(DESCRIBE_TEMPLATES);
        let mut templates = Vec::new();
        loop {
            let page = request.clone().set_next_token(pages.token()).customize().interceptor(Optional);
            let page = page.send().await.map_err(|it| ServiceError::new(DESCRIBE_TEMPLATES, it))?;
            let found = member(
                DESCRIBE_TEMPLATES,
                "repositoryCreationTemplates",
                page.repository_creation_templates,
            )?;
            for template in found {
                templates.push(creation_template(template)?);
            }
            if !pages.follow(page.next_token)? {
                return Ok(templates);
            }
        }
    }

    /// The signing rules. A registry without a signing configuration has none.
    pub async fn signing_rules(&self) -> Result<Vec<SigningRule>> {
        let request = self.ecr.get_signing_configuration().customize().interceptor(Optional);
        let found = match request.send().await.map_err(|it| ServiceError::new(SIGNING, it)) {
            Err(error) if error.has_code("SigningConfigurationNotFoundException") => return Ok(Vec::new()),
            found => found?,
        };
        let found = member(SIGNING, "signingConfiguration", found.signing_configuration)?;
        let rule = |it: aws_sdk_ecr::types::SigningRule| SigningRule {
            filters: it.repository_filters().iter().map(|it| it.filter().to_owned()).collect(),
            profile: it.signing_profile_arn,
        };
        Ok(found.rules.into_iter().map(rule).collect())
    }

    /// The pull-through cache rules.
    pub async fn pull_through_rules(&self) -> Result<Vec<PullThroughRule>> {
        let request = self.ecr.describe_pull_through_cache_rules().max_results(1000);
        let mut pages = Pages::new(PULL_THROUGH);
        let mut rules = Vec::new();
        loop {
            let page = request.clone().set_next_token(pages.token()).customize().interceptor(Optional);
            let page = page.send().await.map_err(|it| ServiceError::new(PULL_THROUGH, it))?;
            for rule in member(PULL_THROUGH, "pullThroughCacheRules", page.pull_through_cache_rules)? {
                let prefix = member(PULL_THROUGH, "ecrRepositoryPrefix", rule.ecr_repository_prefix)?;
                let upstream = member(PULL_THROUGH, "upstreamRegistryUrl", rule.upstream_registry_url)?;
                rules.push(PullThroughRule { prefix, upstream });
            }
            if !pages.follow(page.next_token)? {
                return Ok(rules);
            }
        }
    }

    async fn replication_rules(&self) -> Result<Vec<ReplicationRule>> {
        let request = self.ecr.describe_registry().customize().interceptor(Optional);
        let found = request.send().await.map_err(|it| ServiceError::new(REGISTRY, it))?;
        let found = member(REGISTRY, "replicationConfiguration", found.replication_configuration())?;
        let rule = |it: &aws_sdk_ecr::types::ReplicationRule| {
            let destination = |it: &aws_sdk_ecr::types::ReplicationDestination| {
                let account = it.registry_id().parse().map_err(|it| unexpected(REGISTRY, it))?;
                Ok((it.region().to_owned(), account))
            };
            Ok(ReplicationRule {
                destinations: it.destinations().iter().map(destination).collect::<Result<_>>()?,
                prefixes: it.repository_filters().iter().map(|it| it.filter().to_owned()).collect(),
            })
        };
        found.rules().iter().map(rule).collect()
    }

    async fn pull_time_exclusions(&self) -> Result<Vec<String>> {
        let request = self.ecr.list_pull_time_update_exclusions().max_results(1000);
        let mut pages = Pages::new(EXCLUSIONS);
        let mut principals = Vec::new();
        loop {
            let page = request.clone().set_next_token(pages.token()).customize().interceptor(Optional);
            let page = page.send().await.map_err(|it| ServiceError::new(EXCLUSIONS, it))?;
            principals.extend(member(
                EXCLUSIONS,
                "pullTimeUpdateExclusions",
                page.pull_time_update_exclusions,
            )?);
            if !pages.follow(page.next_token)? {
                return Ok(principals);
            }
        }
    }

    /// Performs one write to the settings of the registry.
    pub async fn apply_to_registry(&self, write: &RegistryWrite) -> Result<()> {
        match write {
            RegistryWrite::PutAccountSetting { name, value } => {
                const ACTION: &str = "ecr:PutAccountSetting";
                let request = self.ecr.put_account_setting().name(*name).value(*value);
                let done = request.send().await.map_err(|it| ServiceError::new(ACTION, it))?;
                same(ACTION, "value", done.value(), value)
            }
            RegistryWrite::CreateTemplate { template, applied_for } => {
                self.create_template(template, applied_for).await
            }
            RegistryWrite::UpdateTemplate { template, applied_for } => {
                self.update_template(template, applied_for).await
            }
        }
    }

    async fn create_template(&self, template: &DesiredTemplate, applied: &[String]) -> Result<()> {
        const ACTION: &str = "ecr:CreateRepositoryCreationTemplate";
        let request = self.ecr.create_repository_creation_template();
        let request = request
            .prefix(&template.prefix)
            .description(DESCRIPTION)
            .set_applied_for(Some(applied_for(applied)))
            .image_tag_mutability(mutability(template))
            .set_lifecycle_policy(template.lifecycle_policy.as_ref().map(|it| it.text().to_owned()))
            .set_custom_role_arn(template.custom_role_arn.clone())
            .set_resource_tags(tags(template)?);
        let done = request.send().await.map_err(|it| ServiceError::new(ACTION, it))?;
        let made = member(ACTION, "repositoryCreationTemplate", done.repository_creation_template())?;
        same(ACTION, "prefix", made.prefix().map(|it| it.trim_end_matches('/')), &template.prefix)
    }

    async fn update_template(&self, template: &DesiredTemplate, applied: &[String]) -> Result<()> {
        const ACTION: &str = "ecr:UpdateRepositoryCreationTemplate";
        let request = self.ecr.update_repository_creation_template();
        let request = request
            .prefix(&template.prefix)
            .set_applied_for(Some(applied_for(applied)))
            .image_tag_mutability(mutability(template))
            .set_lifecycle_policy(template.lifecycle_policy.as_ref().map(|it| it.text().to_owned()))
            .set_custom_role_arn(template.custom_role_arn.clone())
            .set_resource_tags(tags(template)?);
        let done = request.send().await.map_err(|it| ServiceError::new(ACTION, it))?;
        let made = member(ACTION, "repositoryCreationTemplate", done.repository_creation_template())?;
        same(ACTION, "prefix", made.prefix().map(|it| it.trim_end_matches('/')), &template.prefix)
    }
}

const SCANNING: &str = "ecr:GetRegistryScanningConfiguration";
const GET_SETTING: &str = "ecr:GetAccountSetting";
const DESCRIBE_TEMPLATES: &str = "ecr:DescribeRepositoryCreationTemplates";
const SIGNING: &str = "ecr:GetSigningConfiguration";
const PULL_THROUGH: &str = "ecr:DescribePullThroughCacheRules";
const REGISTRY: &str = "ecr:DescribeRegistry";
const EXCLUSIONS: &str = "ecr:ListPullTimeUpdateExclusions";

/// The description of templates, for people who find one in the console.
const DESCRIPTION: &str = "Written by cargo-xtask-ecr: the defaults of a Rust workspace";

fn creation_template(found: RepositoryCreationTemplate) -> Result<CreationTemplate> {
    let tags = found.resource_tags().iter().map(|it| (it.key().to_owned(), it.value().to_owned())).collect();
    let mutability = found.image_tag_mutability.as_ref().map_or("MUTABLE", ImageTagMutability::as_str);
    Ok(CreationTemplate {
        prefix: member(DESCRIBE_TEMPLATES, "prefix", found.prefix())?.trim_end_matches('/').to_owned(),
        applied_for: found.applied_for().iter().map(|it| it.as_str().to_owned()).collect(),
        image_tag_mutability: mutability.to_owned(),
        lifecycle_policy: found.lifecycle_policy.filter(|it| !it.is_empty()).map(StoredPolicy::parse),
        tags,
        custom_role_arn: found.custom_role_arn.filter(|it| !it.is_empty()),
    })
}

fn applied_for(values: &[String]) -> Vec<RctAppliedFor> {
    values.iter().map(|it| RctAppliedFor::from(it.as_str())).collect()
}

fn mutability(template: &DesiredTemplate) -> ImageTagMutability {
    sdk_mutability(template.image_tag_mutability)
}

/// Resource tags need the role.
fn tags(template: &DesiredTemplate) -> Result<Option<Vec<Tag>>> {
    template.custom_role_arn.as_ref().map(|_| sdk_tags(&template.tags)).transpose()
}
