import { I18nProvider } from 'react-aria-components';
import { Suspense, lazy, useCallback, useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';

import { type Admission, type Place, join } from './lib/api';
import type { Ending } from './lib/ending';
import { fragmentOf } from './lib/key';
import { meetingPath, parseRoute } from './lib/route';
import { recall } from './lib/storage';
import type { DeviceWishes } from './lib/wishes';
import { EndScreen } from './lobby/EndScreen';
import { Home } from './lobby/Home';
import { Lobby } from './lobby/Lobby';
import { WaitingScreen } from './lobby/WaitingScreen';

// livekit-client is most of the page's weight: it loads while somebody looks at the lobby.
const loadMeeting = () => import('./room/Meeting');
const Meeting = lazy(loadMeeting);

type Stage =
  | { at: 'door' }
  | { at: 'waiting'; place: Place; wishes: DeviceWishes; moved: boolean }
  | { at: 'meeting'; admission: Admission; wishes: DeviceWishes }
  | { at: 'end'; ending: Ending };

export function App() {
  const { i18n } = useTranslation();
  const [route, setRoute] = useState(() => parseRoute(location.pathname));
  const [stage, setStage] = useState<Stage>({ at: 'door' });

  // A meeting's key goes to no other page.
  const go = useCallback((path: string, phrase = '') => {
    history.pushState(null, '', path + location.search + fragmentOf(phrase));
    setRoute(parseRoute(path));
    setStage({ at: 'door' });
  }, []);

  useEffect(() => {
    const follow = () => {
      setRoute(parseRoute(location.pathname));
      setStage({ at: 'door' });
    };
    addEventListener('popstate', follow);
    return () => {
      removeEventListener('popstate', follow);
    };
  }, []);

  useEffect(() => {
    if (route.page === 'meeting') void loadMeeting();
  }, [route]);

  return (
    <I18nProvider locale={i18n.resolvedLanguage ?? 'en'}>
      {route.page === 'home' ? (
        <Home onMeeting={(id, phrase) => { go(meetingPath(id), phrase); }} />
      ) : stage.at === 'door' ? (
        <Lobby
          key={route.id}
          meeting={route.id}
          onAdmitted={(admission, wishes) => { setStage({ at: 'meeting', admission, wishes }); }}
          onWaiting={(place, wishes) => { setStage({ at: 'waiting', place, wishes, moved: false }); }}
          onOther={() => { go('/'); }}
        />
      ) : stage.at === 'waiting' ? (
        <WaitingScreen
          key={stage.place.ticket}
          meeting={route.id}
          place={stage.place}
          moved={stage.moved}
          onAdmitted={(admission) => { setStage({ at: 'meeting', admission, wishes: stage.wishes }); }}
          onEnd={(ending) => { setStage({ at: 'end', ending }); }}
          onCancel={() => { setStage({ at: 'door' }); }}
        />
      ) : stage.at === 'meeting' ? (
        <Suspense fallback={null}>
          <Meeting
            admission={stage.admission}
            wishes={stage.wishes}
            onEnd={(ending) => {
              if (ending === 'removed') void putOut(route.id, stage.admission, stage.wishes, setStage);
              else setStage({ at: 'end', ending });
            }}
            onHome={() => { go('/'); }}
          />
        </Suspense>
      ) : (
        <EndScreen ending={stage.ending} onRejoin={() => { setStage({ at: 'door' }); }} onHome={() => { go('/'); }} />
      )}
    </I18nProvider>
  );
}

/** Whoever a host put out is removed, or waits in the lobby: the server says which. */
async function putOut(
  meeting: string,
  { token, identity }: Admission,
  wishes: DeviceWishes,
  setStage: (stage: Stage) => void,
): Promise<void> {
  const answer = await join(meeting, recall('name') || identity, undefined, token);
  setStage('place' in answer ? { at: 'waiting', place: answer.place, wishes, moved: true } : { at: 'end', ending: 'removed' });
}
