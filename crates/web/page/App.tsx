import { I18nProvider } from 'react-aria-components';
import { Suspense, lazy, useCallback, useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';

import type { Admission } from './lib/api';
import type { Ending } from './lib/ending';
import { meetingPath, parseRoute } from './lib/route';
import type { DeviceWishes } from './lib/wishes';
import { EndScreen } from './lobby/EndScreen';
import { Home } from './lobby/Home';
import { Lobby } from './lobby/Lobby';

// livekit-client is most of the page's weight: it loads while somebody looks at the lobby.
const loadMeeting = () => import('./room/Meeting');
const Meeting = lazy(loadMeeting);

type Stage =
  | { at: 'door' }
  | { at: 'meeting'; admission: Admission; wishes: DeviceWishes }
  | { at: 'end'; ending: Ending };

export function App() {
  const { i18n } = useTranslation();
  const [route, setRoute] = useState(() => parseRoute(location.pathname));
  const [stage, setStage] = useState<Stage>({ at: 'door' });

  const go = useCallback((path: string) => {
    history.pushState(null, '', path + location.search);
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
        <Home onMeeting={(id) => { go(meetingPath(id)); }} />
      ) : stage.at === 'door' ? (
        <Lobby
          key={route.id}
          meeting={route.id}
          onAdmitted={(admission, wishes) => { setStage({ at: 'meeting', admission, wishes }); }}
          onOther={() => { go('/'); }}
        />
      ) : stage.at === 'meeting' ? (
        <Suspense fallback={null}>
          <Meeting
            admission={stage.admission}
            wishes={stage.wishes}
            onEnd={(ending) => { setStage({ at: 'end', ending }); }}
          />
        </Suspense>
      ) : (
        <EndScreen ending={stage.ending} onRejoin={() => { setStage({ at: 'door' }); }} onHome={() => { go('/'); }} />
      )}
    </I18nProvider>
  );
}
