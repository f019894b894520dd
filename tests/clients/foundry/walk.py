"""What people do with `azure-ai-projects` (any version), against the gateway on stdin; on stdout what came of it."""

import json
import sys
import time

import azure.ai.projects
from azure.ai.projects import AIProjectClient
from azure.ai.projects.models import ImageGenTool, PromptAgentDefinition
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import SansIOHTTPPolicy

TOLD = json.load(sys.stdin)
NAME = f"Painter-{azure.ai.projects.__version__.replace('.', '-')}"


class Credential:
    """A token that somebody has, as `DefaultAzureCredential` would get one."""

    def __init__(self, token=TOLD["token"]):
        self.token = token

    def get_token(self, *_, **__):
        return AccessToken(self.token, 2**31)


class OverHttp(SansIOHTTPPolicy):
    """The gateway of the tests has no certificate."""

    def on_request(self, request):
        request.context.options["enforce_https"] = False


def client(token=TOLD["token"]):
    return AIProjectClient(
        endpoint=f"{TOLD['url']}/api/projects/p", credential=Credential(token), per_call_policies=[OverHttp()]
    )


def definition(instructions):
    return PromptAgentDefinition(
        model="gpt-4.1-mini", instructions=instructions, tools=[ImageGenTool(quality="low", size="1024x1024")]
    )


def error(kind, ask):
    try:
        ask()
    except kind as refused:
        return {"status": refused.status_code, "code": refused.error.code if refused.error else None}
    return None


def versions(asking):
    made = [
        asking.agents.create_version(agent_name=NAME, definition=definition(f"Version {n}"), description="Paints")
        for n in (1, 2, 3)
    ]
    got = asking.agents.get_version(agent_name=NAME, agent_version="2")
    found = {
        "made": [(v.id, v.name, v.version, v.definition["instructions"]) for v in made],
        "got": got.as_dict(),
        "tool": dict(made[0].definition["tools"][0]),
        "latest": asking.agents.get(agent_name=NAME).versions["latest"]["version"],
        "listed": [v.version for v in asking.agents.list_versions(agent_name=NAME, limit=2)],
        "upwards": [v.version for v in asking.agents.list_versions(agent_name=NAME, order="asc")],
        "agents": [agent.name for agent in asking.agents.list(limit=1)],
    }
    asking.agents.delete_version(agent_name=NAME, agent_version="3")
    found["left"] = [v.version for v in asking.agents.list_versions(agent_name=NAME)]
    again = asking.agents.create_version(agent_name=NAME, definition=definition("Version 4"))
    return {**found, "again": again.version}


def run(asking):
    """A version by its name and number, waited for and in the background, through the client that comes with it."""
    said = {"name": NAME, "type": "agent_reference", "version": "1"}
    key = "agent" if azure.ai.projects.__version__.startswith("2.0") else "agent_reference"
    told = {"extra_headers": {"x-ms-oai-image-generation-deployment": "gpt-image-1"}, "extra_body": {key: said}}
    with asking.get_openai_client(max_retries=0) as client:
        made = client.responses.create(input=f"{NAME}: a fox", **told)
        begun = client.responses.create(input=f"{NAME}: a cat", background=True, **told)
        while begun.status in {"queued", "in_progress"}:
            time.sleep(0.2)
            begun = client.responses.retrieve(begun.id)
    return [[item.result for item in r.output if item.type == "image_generation_call"] for r in (made, begun)]


def main():
    found = {"version": azure.ai.projects.__version__}
    with client() as asking:
        found |= versions(asking)
        found["errors"] = {
            "missing": error(ResourceNotFoundError, lambda: asking.agents.get(agent_name="Nobody")),
            "name": error(
                HttpResponseError, lambda: asking.agents.create_version(agent_name="-x", definition=definition(""))
            ),
            "auth": error(ClientAuthenticationError, lambda: client("wrong").agents.get(agent_name=NAME)),
            "stranger": error(ResourceNotFoundError, lambda: client(TOLD["stranger"]).agents.get(agent_name=NAME)),
        }
        found["pictures"] = run(asking)
        asking.agents.delete(agent_name=NAME)
        found["deleted"] = error(ResourceNotFoundError, lambda: asking.agents.get(agent_name=NAME))
    json.dump(found, sys.stdout)


main()
