"""The carriers that Postback speaks with, a file each."""

from receiver.providers.base import Provider
from receiver.providers.cellcast import Cellcast
from receiver.providers.cellcast_v1 import CellcastV1
from receiver.providers.sinch_mms import SinchMms
from receiver.providers.sinch_sms import SinchSms
from receiver.providers.swift import Swift
from receiver.providers.voicetel import VoiceTel

PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (SinchMms(), SinchSms(), Swift(), VoiceTel(), Cellcast(), CellcastV1())
}
