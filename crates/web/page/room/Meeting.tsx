import { RoomContext } from '@livekit/components-react';
import { isE2EESupported } from 'livekit-client';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import type { Admission } from '../lib/api';
import type { Ending } from '../lib/ending';
import { fragmentOf, phraseOf } from '../lib/key';
import type { DeviceWishes } from '../lib/wishes';
import { KeyScreen } from '../lobby/KeyScreen';
import { useRoom } from './connection';
import type { Encryption } from './KeyTools';
import { MeetingRoom } from './MeetingRoom';
import styles from './room.module.css';

interface Props {
  admission: Admission;
  wishes: DeviceWishes;
  onEnd: (ending: Ending) => void;
}

/** The meeting; one that is end-to-end encrypted begins when there is its key. */
export default function Meeting({ onHome, ...props }: Props & { onHome: () => void }) {
  const [phrase, setPhrase] = useState(() => phraseOf(location.hash));
  const { id, e2ee } = props.admission.meeting;
  if (e2ee !== true) return <Connection {...props} encryption={undefined} />;
  // Kept in the address for a reload, and nowhere else.
  const keep = (given: string) => {
    history.replaceState(null, '', location.pathname + location.search + fragmentOf(given));
    setPhrase(given);
  };
  const lack = encryptionLack();
  if (lack !== undefined || phrase === '') return <KeyScreen meeting={id} lack={lack} onPhrase={keep} onHome={onHome} />;
  return <Connection {...props} encryption={{ phrase, onOther: () => { keep(''); } }} />;
}

function Connection({ admission, wishes, onEnd, encryption }: Props & { encryption: Encryption | undefined }) {
  const { t } = useTranslation();
  const room = useRoom(admission, wishes, encryption?.phrase, onEnd);
  if (room === undefined) {
    return (
      <main className={`${styles['room']} ${styles['connecting']}`} role="status">
        {t('lobby.joining')}
      </main>
    );
  }
  return (
    <RoomContext.Provider value={room}>
      <MeetingRoom room={room} admission={admission} wishes={wishes} encryption={encryption} />
    </RoomContext.Provider>
  );
}

/** Browsers make keys on secure pages only. */
function encryptionLack(): 'insecure' | 'unsupported' | undefined {
  if (!isSecureContext) return 'insecure';
  return isE2EESupported() ? undefined : 'unsupported';
}
