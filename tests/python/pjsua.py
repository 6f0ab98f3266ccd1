"""A SIP telephone in pjsua2, for a test: one JSON command a line on standard input, one JSON answer a
line on standard output. Ends with its standard input.

It sends a tone again and again, takes every call, insists on session timers and on provisional responses
that are confirmed, and keeps what it hears when it is told to.
"""

import base64
import json
import os
import select
import sys
import tempfile
import time
import wave

import pjsua2 as pj

PATIENCE = 15


class Phone:
    def __init__(self):
        self.endpoint = pj.Endpoint()
        self.calls = []
        self.account = None
        self.player = None

    def start(self, port, wav):
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.logConfig.level = config.logConfig.consoleLevel = 0
        # Python's callbacks come in this thread alone.
        config.uaConfig.threadCnt = 0
        config.uaConfig.userAgent = "pjsua2"
        # No echo to be cancelled, no silence to be left out: what is played is what is sent.
        config.medConfig.ecTailLen, config.medConfig.noVad = 0, True
        self.endpoint.libInit(config)
        self.endpoint.audDevManager().setNullDev()
        transport = pj.TransportConfig()
        transport.port, transport.boundAddress = port, "127.0.0.1"
        self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self.endpoint.libStart()
        account = pj.AccountConfig()
        account.idUri = f"sip:phone@127.0.0.1:{port}"
        account.callConfig.prackUse = pj.PJSUA_100REL_MANDATORY
        account.callConfig.timerUse = pj.PJSUA_SIP_TIMER_REQUIRED
        account.callConfig.timerSessExpiresSec = account.callConfig.timerMinSESec = 90
        account.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
        account.mediaConfig.transportConfig.port = 0
        self.account = Account(self)
        self.account.create(account)
        self.player = pj.AudioMediaPlayer()
        self.player.createPlayer(wav)

    def look(self, seconds=0.01):
        self.endpoint.libHandleEvents(int(seconds * 1000))

    def until(self, what, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: never; {[it.told for it in self.calls]}")
            self.look()

    @property
    def call(self):
        return self.calls[-1]

    # --- commands

    def dial(self, uri):
        self.calls.append(Call(self))
        self.call.makeCall(uri, pj.CallOpParam(True))
        self.wait_for_call()

    def wait_for_call(self):
        self.until("a call", lambda: self.calls and self.call.media and self.call.confirmed)

    def hold(self):
        self.call.renegotiated = 0
        self.call.setHold(pj.CallOpParam())
        self.until("on hold", lambda: self.call.renegotiated and not self.call.media)

    def resume(self):
        parameters = pj.CallOpParam(True)
        parameters.opt.flag = pj.PJSUA_CALL_UNHOLD
        self.call.reinvite(parameters)
        self.until("taken up again", lambda: self.call.media)

    def press(self, digits):
        self.call.dialDtmf(digits)

    def transfer(self, uri):
        """The last status that is told of it."""
        self.call.transferred = []
        self.call.xfer(uri, pj.CallOpParam(True))
        self.until("word of it", lambda: self.call.transferred and self.call.transferred[-1] >= 200)
        return self.call.transferred

    def heard(self, seconds):
        file = tempfile.mktemp(suffix=".wav")
        recorder = pj.AudioMediaRecorder()
        recorder.createRecorder(file)
        media = self.call.media
        media.startTransmit(recorder)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
        media.stopTransmit(recorder)
        del recorder
        # Its head is written when the bridge has let go of it.
        self.until("the recording", lambda: any(open(file, "rb").read(8)[4:]))
        with wave.open(file) as sound:
            samples, rate = sound.readframes(sound.getnframes()), sound.getframerate()
        os.remove(file)
        return {"rate": rate, "samples": base64.b64encode(samples).decode()}

    def hang_up(self):
        self.call.hangup(pj.CallOpParam())
        self.wait_for_end()

    def wait_for_end(self):
        self.until("its end", lambda: self.call.over)

    def stop(self):
        self.calls.clear()
        self.player = self.account = None
        self.endpoint.libDestroy()


class Account(pj.Account):
    def __init__(self, phone):
        super().__init__()
        self.phone = phone

    def onIncomingCall(self, told):
        call = Call(self.phone, told.callId)
        self.phone.calls.append(call)
        answer = pj.CallOpParam(True)
        for status in (180, 200):
            answer.statusCode = status
            call.answer(answer)


class Call(pj.Call):
    def __init__(self, phone, identifier=pj.PJSUA_INVALID_ID):
        super().__init__(phone.account, identifier)
        self.phone = phone
        self.media, self.told = None, []
        self.confirmed = self.over = False
        self.renegotiated, self.transferred = 0, []

    def onCallState(self, _):
        info = self.getInfo()
        self.told.append(f"{info.stateText} {info.lastStatusCode}")
        self.confirmed = info.state == pj.PJSIP_INV_STATE_CONFIRMED
        self.over = info.state == pj.PJSIP_INV_STATE_DISCONNECTED
        if self.over:
            self.media = None

    def onCallMediaState(self, _):
        self.renegotiated += 1
        # Its list lives no longer than itself.
        info = self.getInfo()
        active = [
            it.index
            for it in info.media
            if it.type == pj.PJMEDIA_TYPE_AUDIO and it.status == pj.PJSUA_CALL_MEDIA_ACTIVE
        ]
        self.media = self.getAudioMedia(active[0]) if active else None
        if self.media:
            self.phone.player.startTransmit(self.media)

    def onCallTransferStatus(self, told):
        self.transferred.append(told.statusCode)


def main():
    # The library writes to standard output before it can be told not to.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    phone = Phone()
    while True:
        if not select.select([sys.stdin], [], [], 0)[0]:
            if phone.account:
                phone.look()
            else:
                select.select([sys.stdin], [], [])
            continue
        line = sys.stdin.readline()
        if not line:
            break
        request = json.loads(line)
        command = getattr(phone, request.pop("command"))
        try:
            answer = {"value": command(**request)}
        except Exception as error:  # noqa: BLE001 - the test tells it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
    phone.stop()


main()
