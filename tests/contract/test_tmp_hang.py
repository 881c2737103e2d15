import time
def test_x(postgres_database, redis_url):
    print("PORT", postgres_database, redis_url, flush=True)
    time.sleep(60)
