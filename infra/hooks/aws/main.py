"""AWS Lambda behind a function URL (payload 2.0): messages go to the SNS topic TOPIC_ARN."""

from __future__ import annotations

import base64
import os

import boto3
from thalweg_hook import handle


def publish(subject: str, text: str, key: str) -> None:
    topic = os.environ["TOPIC_ARN"]
    own = {"MessageGroupId": subject, "MessageDeduplicationId": key} if topic.endswith(".fifo") and key else {}
    boto3.client("sns").publish(TopicArn=topic, Subject=subject[:100], Message=text, **own)


def hook(event: dict, _context: object) -> dict:
    body = event.get("body") or ""
    raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    status, said = handle(event["rawPath"], event.get("headers") or {}, raw, publish)
    return {"statusCode": status, "body": said}
