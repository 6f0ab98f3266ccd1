import { Button, ToggleButton } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import type { Live, LobbyView } from '../lib/control';
import type { Host } from './host';
import styles from './host.module.css';

/**
 * What a host has at hand: how the door stands, and who waits before it. Tests find
 * `[data-lobby-identity]` and `[data-attr=lobby-admit|lobby-refuse|lobby-admit-all|host-lock|
 * host-lobby|host-mute-all|host-end]`.
 */
export function HostTools({ host }: { host: Host }) {
  const { t } = useTranslation();
  const { lobby, act } = host;
  if (lobby === undefined) return null;
  const turn = (key: 'lobby' | 'locked') => (on: boolean) => {
    const change: Partial<Live> = { [key]: on };
    act((control) => control.setLive(change));
  };
  return (
    <>
      <div className={styles['tools']} role="group" aria-label={t('host.tools')}>
        <Turn label={t('host.lock')} name="lock" on={lobby.live.locked} onChange={turn('locked')} />
        <Turn label={t('host.lobby')} name="lobby" on={lobby.live.lobby} onChange={turn('lobby')} />
        <Tool label={t('host.muteAll')} name="mute-all" onPress={() => { act((control) => control.muteAll()); }} />
        <Tool label={t('host.end')} name="end" onPress={() => { if (confirm(t('host.endSure'))) act((control) => control.end()); }} />
      </div>
      <WaitingList lobby={lobby} act={act} />
    </>
  );
}

function WaitingList({ lobby, act }: { lobby: LobbyView; act: Host['act'] }) {
  const { t } = useTranslation();
  if (lobby.waiting.length === 0) return null;
  return (
    <section className={styles['waiting']} aria-labelledby="waiting-heading">
      <header className={styles['waitingHeader']}>
        <h3 id="waiting-heading" className={styles['waitingTitle']}>{t('host.waiting', { count: lobby.waiting.length })}</h3>
        <Button className={styles['button'] ?? ''} data-attr="lobby-admit-all" onPress={() => { act((control) => control.admitAll()); }}>
          {t('host.admitAll')}
        </Button>
      </header>
      <ul className={styles['list']}>
        {lobby.waiting.map(({ identity, name, kind }) => (
          <li key={identity} className={styles['row']} data-lobby-identity={identity}>
            <span className={styles['who']}>
              <span className={styles['name']}>{name}</span>
              {kind === 'sip' && <span className={styles['detail']}>{t('room.roomSystem')}</span>}
            </span>
            <Button className={styles['button'] ?? ''} data-attr="lobby-admit" aria-label={t('host.admitName', { name })}
              onPress={() => { act((control) => control.admit(identity)); }}>
              {t('host.admit')}
            </Button>
            <Button className={styles['button'] ?? ''} data-attr="lobby-refuse" aria-label={t('host.refuseName', { name })}
              onPress={() => { act((control) => control.refuse(identity)); }}>
              {t('host.refuse')}
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Turn({ label, name, on, onChange }: { label: string; name: string; on: boolean; onChange: (on: boolean) => void }) {
  return (
    <ToggleButton className={styles['button'] ?? ''} data-attr={`host-${name}`} isSelected={on} onChange={onChange}>
      {label}
    </ToggleButton>
  );
}

function Tool({ label, name, onPress }: { label: string; name: string; onPress: () => void }) {
  return (
    <Button className={styles['button'] ?? ''} data-attr={`host-${name}`} onPress={onPress}>
      {label}
    </Button>
  );
}
