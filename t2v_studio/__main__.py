"""`python -m t2v_studio` is the console command `t2v`."""

from t2v_studio.cli.main import main

if __name__ == "__main__":
    main()
