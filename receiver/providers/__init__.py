"""The carriers that Postback speaks with, a file each."""

from receiver.providers.base import Provider
from receiver.providers.sinch_mms import SinchMms

PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in (SinchMms(),)}
