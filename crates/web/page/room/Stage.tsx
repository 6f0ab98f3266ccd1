import { useParticipants, useTracks } from '@livekit/components-react';
import { type Participant, RoomEvent, Track } from 'livekit-client';
import { type CSSProperties, useRef } from 'react';
import { Button } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import { fitGrid } from '../lib/grid';
import { visibleTiles } from '../lib/visibleTiles';
import type { Actions } from './actions';
import { usePhone, useSize } from './hooks';
import { ScreenTile } from './ScreenTile';
import styles from './stage.module.css';
import { Tile } from './Tile';

const SPEAKERS = [RoomEvent.ActiveSpeakersChanged];
const SCREENS = [Track.Source.ScreenShare];
const GAP = 8;
// More tiles than these are too small to see anybody, and each costs a decoder.
const MOST_TILES = 16;
const MOST_TILES_PHONE = 6;
const MOST_IN_STRIP = 12;

// One's own picture stays in its place whoever speaks.
const candidate = (participant: Participant) => ({
  participant,
  spokeAt: participant.isLocal ? Infinity : (participant.lastSpokeAt?.getTime() ?? 0),
});

export function Stage({ actions, onMore }: { actions: Actions; onMore: () => void }) {
  const { t } = useTranslation();
  const phone = usePhone();
  const participants = useParticipants({ updateOnlyOn: SPEAKERS });
  const screens = useTracks(SCREENS, { updateOnlyOn: [], onlySubscribed: false });
  // Somebody else's screen is what one wants to see; the newest when there are several.
  const screen = screens.filter((track) => !track.participant.isLocal).at(-1) ?? screens.at(-1);
  const most = screen !== undefined ? MOST_IN_STRIP : phone ? MOST_TILES_PHONE : MOST_TILES;
  const hidden = participants.length > most ? participants.length - most + 1 : 0;
  const shown = visibleTiles(participants.map(candidate), participants.length - hidden);
  const more = hidden > 0 && (
    <Button className={styles['more'] ?? ''} onPress={onMore}>
      {t('room.moreTiles', { count: hidden })}
    </Button>
  );

  if (screen !== undefined) {
    return (
      <section className={styles['presentation']} aria-label={t('room.stage')}>
        <div className={styles['screen']}>
          <ScreenTile track={screen} onStop={() => void actions.share(false)} />
        </div>
        <div className={styles['strip']}>
          {shown.map(({ participant }) => <Tile key={participant.identity} participant={participant} />)}
          {more}
        </div>
      </section>
    );
  }
  return (
    <Grid count={shown.length + (hidden > 0 ? 1 : 0)} label={t('room.stage')}>
      {shown.map(({ participant }) => <Tile key={participant.identity} participant={participant} />)}
      {more}
      {participants.length === 1 && <p className={styles['alone']}>{t('room.alone')}</p>}
    </Grid>
  );
}

function Grid({ count, label, children }: { count: number; label: string; children: React.ReactNode }) {
  const element = useRef<HTMLElement>(null);
  const size = useSize(element);
  // Upright, six wide tiles below each other would leave half of the screen empty.
  const fit = fitGrid(count, size.width, size.height, GAP, size.height > size.width ? 1 : 16 / 9);
  const sizes = { '--tile-width': `${String(fit.width)}px`, '--tile-height': `${String(fit.height)}px` };
  return (
    <section ref={element} className={styles['grid']} aria-label={label} style={sizes as CSSProperties}>
      {children}
    </section>
  );
}
