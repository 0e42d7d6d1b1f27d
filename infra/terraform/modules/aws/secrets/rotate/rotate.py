"""Rotation of tokens in AWS Secrets Manager: a new random value, checked, takes the place of the old one.

Secrets Manager calls four steps, each perhaps more than once. It never prints a value.
"""

import secrets

BYTES = 48
SHORTEST = 32


def create(client, arn, token):
    """Puts a new value beside the current one; a step that is repeated keeps the value it made first."""
    try:
        client.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")
    except client.exceptions.ResourceNotFoundException:
        client.put_secret_value(
            SecretId=arn,
            ClientRequestToken=token,
            SecretString=secrets.token_urlsafe(BYTES),
            VersionStages=["AWSPENDING"],
        )


def check(client, arn, token):
    """Refuses a pending value that is no token: the current one then stays."""
    pending = client.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")
    if len(pending["SecretString"].strip()) < SHORTEST:
        raise ValueError(f"{arn}: the pending value is shorter than {SHORTEST} characters")


def finish(client, arn, token):
    """Makes the pending value the current one."""
    versions = client.describe_secret(SecretId=arn)["VersionIdsToStages"]
    current = next((version for version, stages in versions.items() if "AWSCURRENT" in stages), None)
    if current == token:
        return
    moved = {"RemoveFromVersionId": current} if current else {}
    client.update_secret_version_stage(SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, **moved)


def nothing(client, arn, token):
    """Readers fetch the token by themselves; no other system has to be told."""


STEPS = {"createSecret": create, "setSecret": nothing, "testSecret": check, "finishSecret": finish}


def rotate(client, event):
    """One step of a rotation."""
    arn, token = event["SecretId"], event["ClientRequestToken"]
    described = client.describe_secret(SecretId=arn)
    if not described.get("RotationEnabled"):
        raise ValueError(f"{arn}: rotation is not enabled")
    if token not in described["VersionIdsToStages"]:
        raise ValueError(f"{arn}: no version {token} is to be rotated to")
    STEPS[event["Step"]](client, arn, token)


def handler(event, context):
    import boto3  # the runtime brings it; tests do without

    rotate(boto3.client("secretsmanager"), event)
