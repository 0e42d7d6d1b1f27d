"""Rotation of secrets in AWS Secrets Manager: a new random value, checked, takes the place of the old one.

A secret is a bare token, or, where CACHES names it, the address of a cache with its user's password. Secrets Manager
calls four steps, each perhaps more than once. It never prints a value.
"""

import json
import os
import secrets
import time
import urllib.parse

BYTES = 48
SHORTEST = 32
# Secret's ARN to `user_id`, `user_name`, `endpoint`.
CACHES = json.loads(os.environ.get("CACHES", "{}"))
WAIT_S = 5
TRIES = 50


class Rotation:
    """One step for one secret."""

    def __init__(self, vault, caches, event, pause=time.sleep):
        self.vault, self.caches, self.pause = vault, caches, pause
        self.arn, self.token = event["SecretId"], event["ClientRequestToken"]
        self.cache = CACHES.get(self.arn)

    def value(self, **version):
        return self.vault.get_secret_value(SecretId=self.arn, **version)["SecretString"].strip()

    def pending(self):
        return self.value(VersionId=self.token, VersionStage="AWSPENDING")

    def create(self):
        """Puts a new value beside the current one; a step that is repeated keeps the value it made first."""
        try:
            self.pending()
        except self.vault.exceptions.ResourceNotFoundException:
            made = secrets.token_urlsafe(BYTES)
            if self.cache:
                made = f"rediss://{self.cache['user_name']}:{made}@{self.cache['endpoint']}:6379/0"
            self.vault.put_secret_value(
                SecretId=self.arn, ClientRequestToken=self.token, SecretString=made, VersionStages=["AWSPENDING"]
            )

    def tell(self):
        """Gives a cache's user the new password beside the old one, so that clients with the old one still connect."""
        if not self.cache:
            return  # pods fetch a token themselves, so no other system needs the new value
        passwords = [password(self.pending())]
        try:
            passwords.append(password(self.value(VersionStage="AWSCURRENT")))
        except self.vault.exceptions.ResourceNotFoundException:
            pass  # the first rotation of all
        self.caches.modify_user(UserId=self.cache["user_id"], Passwords=passwords)
        for _ in range(TRIES):
            if self.caches.describe_users(UserId=self.cache["user_id"])["Users"][0]["Status"] == "active":
                return
            self.pause(WAIT_S)
        raise TimeoutError(f"{self.cache['user_id']}: not active after {WAIT_S * TRIES} s")

    def check(self):
        """Refuses a pending value that is too short: the current value then stays."""
        pending = self.pending()
        if len(password(pending) if self.cache else pending) < SHORTEST:
            raise ValueError(f"{self.arn}: the pending value is shorter than {SHORTEST} characters")

    def finish(self):
        """Makes the pending value the current one."""
        versions = self.vault.describe_secret(SecretId=self.arn)["VersionIdsToStages"]
        current = next((version for version, stages in versions.items() if "AWSCURRENT" in stages), None)
        if current != self.token:
            moved = {"RemoveFromVersionId": current} if current else {}
            self.vault.update_secret_version_stage(
                SecretId=self.arn, VersionStage="AWSCURRENT", MoveToVersionId=self.token, **moved
            )


STEPS = {
    "createSecret": Rotation.create,
    "setSecret": Rotation.tell,
    "testSecret": Rotation.check,
    "finishSecret": Rotation.finish,
}


def password(address):
    """The password in an address, or an empty string."""
    return urllib.parse.urlsplit(address).password or ""


def rotate(vault, caches, event, pause=time.sleep):
    """One step of a rotation that Secrets Manager asked for."""
    arn, token = event["SecretId"], event["ClientRequestToken"]
    described = vault.describe_secret(SecretId=arn)
    if not described.get("RotationEnabled"):
        raise ValueError(f"{arn}: rotation is not enabled")
    if token not in described["VersionIdsToStages"]:
        raise ValueError(f"{arn}: no version {token} is to be rotated to")
    STEPS[event["Step"]](Rotation(vault, caches, event, pause))


def handler(event, context):
    import boto3  # the runtime brings it; tests do without

    rotate(boto3.client("secretsmanager"), boto3.client("elasticache"), event)
