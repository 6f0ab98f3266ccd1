import type { Participant } from 'livekit-client';
import { Button, Menu, MenuItem, MenuTrigger, Popover } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import type { Control } from '../lib/control';
import { MoreIcon } from '../ui/icons';
import type { Host } from './host';
import styles from './host.module.css';
import { isRoomSystem, useCameraOn, useCameraSteered, useMicrophoneOn, useName, useRole, useSharing } from './participantState';

type Item = 'mute' | 'unmute' | 'askUnmute' | 'stopCamera' | 'askCamera' | 'stopScreen' | 'steerCamera' | 'rename' | 'makeHost' | 'makePresenter' | 'toLobby' | 'remove';

interface Props {
  participant: Participant;
  host: Host;
  onRename: () => void;
  onSteerCamera: () => void;
}

/** What a host does to one participant. Tests find `[data-attr=participant-menu]` and its items `[data-act]`. */
export function ParticipantMenu({ participant, host, onRename, onSteerCamera }: Props) {
  const { t } = useTranslation();
  const name = useName(participant);
  const micOn = useMicrophoneOn(participant);
  const cameraOn = useCameraOn(participant);
  const sharing = useSharing(participant);
  const cameraSteered = useCameraSteered(participant);
  const role = useRole(participant);
  const room = isRoomSystem(participant);
  const { identity, isLocal } = participant;
  const acts: Partial<Record<Item, (control: Control) => Promise<unknown>>> = {
    mute: (control) => control.mute(identity, 'microphone', true),
    unmute: (control) => control.mute(identity, 'microphone', false),
    askUnmute: (control) => control.ask(identity, 'unmute'),
    stopCamera: (control) => control.mute(identity, 'camera', true),
    stopScreen: (control) => control.mute(identity, 'screen', true),
    askCamera: (control) => control.ask(identity, 'camera'),
    makeHost: (control) => control.setRole(identity, 'host'),
    makePresenter: (control) => control.setRole(identity, 'presenter'),
    toLobby: (control) => control.toLobby(identity),
    remove: (control) => control.remove(identity),
  };
  const others: Item[] = [
    micOn ? 'mute' : room ? 'unmute' : 'askUnmute',
    ...(cameraOn ? ['stopCamera' as const] : room ? [] : ['askCamera' as const]),
    ...(sharing ? ['stopScreen' as const] : []),
    ...(cameraSteered ? ['steerCamera' as const] : []),
    'rename',
    // Nobody would be there to steer.
    ...(room ? [] : [role === 'host' ? ('makePresenter' as const) : ('makeHost' as const)]),
    'toLobby',
    'remove',
  ];
  // Of oneself: what the buttons below do not do already.
  const items: Item[] = isLocal ? ['rename', 'makePresenter'] : others;
  return (
    <MenuTrigger>
      <Button className={styles['more'] ?? ''} data-attr="participant-menu" aria-label={t('host.menuOf', { name })}>
        <MoreIcon size={18} />
      </Button>
      <Popover className={styles['popover'] ?? ''} placement="bottom end">
        <Menu
          className={styles['menu'] ?? ''}
          aria-label={t('host.menuOf', { name })}
          onAction={(key) => {
            if (key === 'rename') return onRename();
            if (key === 'steerCamera') return onSteerCamera();
            const what = acts[key as Item];
            if (what !== undefined) host.act(what);
          }}
        >
          {items.map((item) => (
            <MenuItem key={item} id={item} data-act={item} className={`${styles['item']} ${item === 'remove' ? styles['danger'] : ''}`}>
              {t(`host.${item}`)}
            </MenuItem>
          ))}
        </Menu>
      </Popover>
    </MenuTrigger>
  );
}
