import { RoomContext } from '@livekit/components-react';
import { useTranslation } from 'react-i18next';

import type { Admission } from '../lib/api';
import type { Ending } from '../lib/ending';
import type { DeviceWishes } from '../lib/wishes';
import { useRoom } from './connection';
import { MeetingRoom } from './MeetingRoom';
import styles from './room.module.css';

interface Props {
  admission: Admission;
  wishes: DeviceWishes;
  onEnd: (ending: Ending) => void;
}

export default function Meeting({ admission, wishes, onEnd }: Props) {
  const { t } = useTranslation();
  const room = useRoom(admission, wishes, onEnd);
  if (room === undefined) {
    return (
      <main className={`${styles['room']} ${styles['connecting']}`} role="status">
        {t('lobby.joining')}
      </main>
    );
  }
  return (
    <RoomContext.Provider value={room}>
      <MeetingRoom room={room} admission={admission} wishes={wishes} />
    </RoomContext.Provider>
  );
}
