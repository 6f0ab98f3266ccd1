import type { Room } from 'livekit-client';
import { useCallback, useEffect, useRef, useState } from 'react';

import type { Admission } from '../lib/api';
import type { DeviceWishes } from '../lib/wishes';
import { type Actions, useActions } from './actions';
import { Announcer } from './Announcer';
import { ControlBar } from './ControlBar';
import { useShortcuts } from './hooks';
import { useHost, useRequest } from './host';
import type { Encryption } from './KeyTools';
import { useMismatch } from './mismatch';
import { Notices, Request, Waiting } from './Notices';
import { ParticipantsPanel } from './ParticipantsPanel';
import { RemoteAudio } from './RemoteAudio';
import styles from './room.module.css';
import { Stage } from './Stage';

interface Props {
  room: Room;
  admission: Admission;
  wishes: DeviceWishes;
  /** In an end-to-end encrypted meeting. */
  encryption: Encryption | undefined;
}

/**
 * The meeting at work. Names that tests and robots rely on:
 * tiles `[data-tile][data-identity][data-kind=standard|sip][data-source=camera|screen_share]` with
 * `video.lk-participant-media-video[data-lk-source]`; sound `audio[data-identity]`;
 * buttons `[data-attr=controls-microphone|camera|screenshare|participants|devices|leave]`, the two
 * toggles also by `aria-label` with `Ctrl+d` and `Ctrl+e` and their state in `aria-pressed`;
 * the roster's rows `[data-roster-identity][data-kind]` with `data-call` while a call is pending;
 * `[data-banner=reconnecting|audio|notice|waiting|request]`, whose buttons are
 * `[data-attr=request-accept|request-decline|show-waiting]`; before the meeting `[data-waiting]`,
 * after it `[data-ending]`; for hosts see LobbyList and ParticipantMenu. An end-to-end encrypted
 * meeting asks by the form `[data-attr=key-form]` with its input `[data-attr=key]` and the button
 * `[data-attr=key-make]`, unless the address has `#key=`; in it are the sign `[data-attr=e2ee]` and,
 * above the roster, the buttons `[data-attr=copy-link|key-change]`.
 */
export function MeetingRoom({ room, admission, wishes, encryption }: Props) {
  const title = admission.meeting.name || admission.meeting.id;
  const [notice, setNotice] = useState('');
  const [panelOpen, setPanelOpen] = useState(false);
  const bar = useRef<HTMLDivElement>(null);
  const actions = useActions(room, setNotice);
  const host = useHost(room, admission, setNotice);
  const [ask, answered] = useRequest(room);
  useMismatch(room, setNotice);

  useEffect(() => {
    document.title = `${title} · Plenum`;
  }, [title]);
  useStart(room, wishes, actions);

  useShortcuts({
    microphone: useCallback(() => void actions.microphone(!room.localParticipant.isMicrophoneEnabled), [actions, room]),
    camera: useCallback(() => void actions.camera(!room.localParticipant.isCameraEnabled), [actions, room]),
    toolbar: useCallback(() => bar.current?.querySelector('button')?.focus(), []),
  });

  const closePanel = useCallback(() => {
    setPanelOpen(false);
    bar.current?.querySelector<HTMLButtonElement>('[data-attr="controls-participants"]')?.focus();
  }, []);
  const openPanel = useCallback(() => { setPanelOpen(true); }, []);

  return (
    <div className={styles['room']}>
      <div className={styles['body']}>
        <main className={styles['main']}>
          <h1 className="visually-hidden">{title}</h1>
          <Notices room={room} notice={notice} onDismiss={() => { setNotice(''); }}>
            <Waiting count={panelOpen ? 0 : (host.lobby?.waiting.length ?? 0)} onShow={openPanel} />
            <Request ask={ask} onAnswer={(yes) => {
              answered();
              if (yes) void (ask === 'camera' ? actions.camera(true) : actions.microphone(true));
            }} />
          </Notices>
          <Stage actions={actions} onMore={openPanel} />
        </main>
        {panelOpen && (
          <ParticipantsPanel meeting={admission.meeting.id} host={host} encryption={encryption} report={setNotice} onClose={closePanel} />
        )}
      </div>
      <ControlBar ref={bar} room={room} title={title} encrypted={encryption !== undefined} actions={actions} report={setNotice}
        panelOpen={panelOpen} onPanel={(open) => { if (open) openPanel(); else closePanel(); }} />
      <RemoteAudio />
      <Announcer room={room} />
    </div>
  );
}

/** Publishes what was chosen in the lobby, once. */
function useStart(room: Room, wishes: DeviceWishes, actions: Actions): void {
  const started = useRef<Room>(undefined);
  useEffect(() => {
    if (started.current === room) return;
    started.current = room;
    // Who only listens is not told of a failure.
    if (room.localParticipant.permissions?.canPublish === false) return;
    if (wishes.microphone) void actions.microphone(true);
    if (wishes.camera) void actions.camera(true);
  }, [room, wishes, actions]);
}
